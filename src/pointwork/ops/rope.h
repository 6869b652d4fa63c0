#pragma once
// Rotary position embedding (RoFormer, arXiv:2104.09864), halves rotated against each other as in
// Llama and GPT-NeoX.

#include <torch/types.h>

#include <vector>

namespace pointwork {

using torch::Tensor;

// Rotates the first 2 · frequency.size() values of each head by position · frequency[i]. x [T,
// heads, hd], position int32 [T] → [T, heads, hd]
Tensor rotate(const Tensor& x, const Tensor& position, const std::vector<double>& frequency);

// The first `dims`, an even number, by position · theta^(−2i / dims).
Tensor rotate(const Tensor& x, const Tensor& position, int64_t dims, double theta);

}  // namespace pointwork
