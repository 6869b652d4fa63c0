#pragma once
// The GRU cell (Cho et al., arXiv:1406.1078; the reset falls on the product, as in cuDNN and
// torch): what stands between its two matrix products and its next state.
//
//   ρ = σ(a₁ + c₁)   z = σ(a₂ + c₂)   n = tanh(a₃ + ρ · c₃)   h′ = n + z · (h − n)
//
// T is float or double. a, c [rows, 3 · size]: the parts of reset, update and new state side by
// side, a = W_x x + b_x and c = W_h h + b_h; h, h′ [rows, size]. Where the state is 0, h is null
// and c is the one row b_h. All contiguous.

#include <cstdint>

namespace pointwork::kernels::cpu {

// → out = h′. kept: what the backward pass reads, or null: ρ, z, n, c₃ side by side [rows, 4 ·
// size]; of a state of 0 without c₃ [rows, 3 · size]. Less than a and c, and no exponential is
// taken twice.
template <class T>
void gru_cell(const T* a, const T* c, const T* h, T* out, T* kept, int64_t rows, int64_t size);

// d_out [rows, size] → d_a, d_c [rows, 3 · size], d_h [rows, size] or null. Of a state of 0, c is
// that one row and d_c [3 · size] the sum over all rows, in runs whose number follows from rows
// alone: no thread count changes it. Otherwise c is not read.
template <class T>
void gru_cell_backward(const T* d_out, const T* kept, const T* c, const T* h, T* d_a, T* d_c,
                       T* d_h, int64_t rows, int64_t size);

}  // namespace pointwork::kernels::cpu
