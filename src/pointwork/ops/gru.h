#pragma once
// The GRU cell between its matrix products and its next state.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// ρ = σ(a₁ + c₁), z = σ(a₂ + c₂), n = tanh(a₃ + ρ · c₃), h′ = n + z · (h − n). a = W_x x + b_x and
// c = W_h h + b_h [T, 3r], each reset, update and new side by side; h [T, r] → h′ [T, r]. Where the
// state is 0, h is undefined and c is b_h alone, [3r]. All of one type. For the backward pass it
// keeps 4 r values a row (3 r where the state is 0), neither a nor c.
Tensor gru_cell(const Tensor& a, const Tensor& c, const Tensor& h = {});

}  // namespace pointwork
