#pragma once
// SwiGLU (Shazeer, arXiv:2002.05202): silu(gate) · up, gate and up side by side in one row.

#include <cstdint>

#include "pointwork/kernels/bfloat16.h"

namespace pointwork::kernels::cpu {

// x [rows, 2 width] → out [rows, width]
template <class T>
void swiglu(const T* x, T* out, int64_t rows, int64_t width);

// d_out [rows, width] → dx [rows, 2 width]; the activation is recomputed.
template <class T>
void swiglu_backward(const T* d_out, const T* x, T* dx, int64_t rows, int64_t width);

}  // namespace pointwork::kernels::cpu
