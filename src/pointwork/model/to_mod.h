#pragma once
// A dense model becomes a Mixture-of-Depths without forgetting what it knows.

#include <memory>
#include <vector>

#include "pointwork/model/model.h"
#include "pointwork/model/rewrite.h"

namespace pointwork {

struct ToModOptions {
  double capacity = 0.125;
  LayerPeriod layers;    // of the blocks that are routed
  int64_t steps = 1000;  // in which the capacity falls from 1; 0: it holds from the start
  uint64_t seed = 1;     // of the predictors
};

// The config whose chosen layers are routed by expert choice: weight 1 + alpha · tanh(r), capacity
// from 1 to options.capacity. Nobody teaches it. Error where a branch is routed already, or nothing
// is chosen.
Config to_mod(const Config& dense, const ToModOptions& options);

// The same with weights, in the model's dtype and on its device: every one is kept, the router's
// are 0, so that its factor is 1 and, at capacity 1, the model computes what it did. A predictor
// begins with the odds of the first capacity below 1, the same for every token.
std::shared_ptr<Model> to_mod(const Model& dense, const ToModOptions& options);

}  // namespace pointwork
