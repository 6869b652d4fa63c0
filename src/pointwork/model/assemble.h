#pragma once
// Phase 2 of Mixture-of-Modules (arXiv:2407.06677): the layers of a dense model become the modules
// from which rounds are assembled.

#include <memory>
#include <string>
#include <vector>

#include "pointwork/model/model.h"

namespace pointwork {

// scrambled: routers from scratch, as in the paper. preserving: round h begins with module h and a
// weight of 1, so that step 0 computes what the dense model did (route.in_order_steps).
enum class AssemblyStart { scrambled, preserving };

struct AssembleOptions {
  AssemblyStart start = AssemblyStart::scrambled;
  int64_t in_order_steps = 0;  // of a preserving start; 0: those of the config
  int64_t pool = 0;  // dense layers a pool is made of; those beyond its modules are left out; 0: as
                     // many as its modules
  uint64_t seed = 1;  // of the routers
};

// Where a layer of the new model comes from: dense layers first .. first + count - 1, in order its
// experts. Of fewer attention than mlp experts the last layers give their mlp alone, and the other
// way round.
struct AssembledLayer {
  int64_t first = 0, count = 1;
  int64_t attention = 1, mlp = 1;  // experts; 1: one set of weights
};

// The layers of `target` in order: one with single weights takes one dense layer, one with experts
// as many as its larger pool, or `pool` of them. Error naming the layer that is not one attention
// and one mlp, and where they take more or fewer layers than `dense` has.
std::vector<AssembledLayer> assembled_layers(const Config& dense, const Config& target,
                                             int64_t pool = 0);

// `target` with the start chosen, and a vocabulary where it left that open. Error where the start
// is no preserving one: dropped weights, top_k other than 1, a weight other than ste.
Config assembled(const Config& dense, const Config& target, const AssembleOptions& options);

// The model of assembled(), in the dense model's dtype and on its device. Final norm and embeddings
// are kept, routers are fresh. Error naming the first weight of another shape.
std::shared_ptr<Model> assemble(const Model& dense, const Config& target,
                                const AssembleOptions& options);

}  // namespace pointwork
