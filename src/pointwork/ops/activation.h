#pragma once
// Activations of the feed-forward leaf.

#include <torch/types.h>

#include "pointwork/config/model_config.h"

namespace pointwork {

using torch::Tensor;

// x [T, F] → [T, F]; swiglu: x [T, 2F] holds gate and up side by side → silu(gate) · up [T, F]
Tensor activate(const Tensor& x, Activation activation);

}  // namespace pointwork
