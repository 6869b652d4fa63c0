#pragma once
// Element-wise activations of the feed-forward leaf, and SwiGLU's product. T is float, double or
// BFloat16.

#include <cstdint>

namespace pointwork::kernels {

enum class Nonlinearity { gelu, gelu_tanh, relu };

namespace cpu {

// gelu: x · Φ(x). gelu_tanh: x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))). relu: max(x, 0), NaN
// stays NaN. y may be x.
template <class T>
void activate(Nonlinearity kind, const T* x, T* y, int64_t count);

// d_x = d_y · f′(x); relu′(0) = 0, and NaN where x is NaN. d_x may be d_y or x.
template <class T>
void activate_backward(Nonlinearity kind, const T* d_y, const T* x, T* d_x, int64_t count);

// out = silu(gate) · up, silu(g) = g / (1 + exp(−g)). gate and up [rows, width] at `stride`
// elements a row, so that the halves of one packed [rows, 2 · width] serve with stride 2 · width;
// out [rows, width] contiguous.
template <class T>
void swiglu(const T* gate, const T* up, int64_t stride, T* out, int64_t rows, int64_t width);

// d_out [rows, width] contiguous → d_gate, d_up at d_stride (may be gate and up). silu is computed
// again.
template <class T>
void swiglu_backward(const T* d_out, const T* gate, const T* up, int64_t stride, T* d_gate, T* d_up,
                     int64_t d_stride, int64_t rows, int64_t width);

}  // namespace cpu
}  // namespace pointwork::kernels
