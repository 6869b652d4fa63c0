#pragma once
// Rotary position embedding (RoFormer, arXiv:2104.09864), halves rotated against each other as in
// Llama and GPT-NeoX.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// Rotates the first `dims` of each head by position · theta^(−2i / dims). x [T, heads, hd],
// position int32 [T] → [T, heads, hd]
Tensor rotate(const Tensor& x, const Tensor& position, int64_t dims, double theta);

}  // namespace pointwork
