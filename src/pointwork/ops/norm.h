#pragma once
// Norms over the last dimension, statistics in float32.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// (x − mean) / √(variance + eps) · weight (+ bias)
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

// x / √(mean(x²) + eps) · weight
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps);

}  // namespace pointwork
