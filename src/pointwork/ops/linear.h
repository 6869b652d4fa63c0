#pragma once
// Matrix products.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// x Wᵀ (+ bias). x [T, in], weight [out, in], bias [out] or undefined → [T, out]
Tensor project(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

// residual + x Wᵀ (+ bias): the sum happens inside the product. residual [T, out]
Tensor project_add(const Tensor& residual, const Tensor& x, const Tensor& weight,
                   const Tensor& bias = {});

// Row-wise dot product in float32 (float64 for float64 inputs). x [T, D], weight [D] → [T]; with
// several of them, [E, D] → [T, E]
Tensor row_dot(const Tensor& x, const Tensor& weight);

}  // namespace pointwork
