#pragma once
// Sparse upcycling (arXiv:2212.05055): a dense model becomes a mixture of experts, each of which
// begins as a copy of the mlp that stood there.

#include <memory>
#include <vector>

#include "pointwork/model/model.h"
#include "pointwork/model/rewrite.h"

namespace pointwork {

struct UpcycleOptions {
  int64_t experts = 8;  // E, at least 2
  int64_t top_k = 1;
  LayerPeriod layers;
  double capacity_factor = 0;  // of training; 0: dropless
  double noise = 0;            // deviation of what is added to each expert's matrices, in their
                               // root mean squares
  uint64_t seed = 1;           // of router and noise
};

// The config whose chosen layers have routed(token choice, mlp × E), its norm outside, where they
// had the mlp. At top_k = 1 the combine weight is 1 + p − stop(p), above it is renormalised: with
// equal experts and no drops the model computes what it did. Nobody teaches it. Error naming what
// cannot be converted: a branch that is routed already, a layer that is no chain with one mlp in
// it, options that make no valid config.
Config upcycled(const Config& dense, const UpcycleOptions& options);

// The same with weights, in the model's dtype and on its device: everything that has its name in
// both is kept, experts are copies of their mlp, routers are fresh.
std::shared_ptr<Model> upcycle(const Model& dense, const UpcycleOptions& options);

}  // namespace pointwork
