#pragma once
// What routers hand from round to round of a repeat, on its own rows.

#include <torch/types.h>

#include <vector>

namespace pointwork {

using torch::Tensor;

struct RouterState {
  Tensor hidden;  // float32 [T, r]  of a gru, differentiable; undefined: zero
  Tensor exited;  // bool    [T]     of an absorbing router: rows that took a no-op; undefined: none
};

using State = std::vector<RouterState>;  // in forward order; empty: all as at the first round

}  // namespace pointwork
