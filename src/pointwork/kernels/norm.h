#pragma once
// LayerNorm and RMSNorm over the last dimension, forward, backward, and with the residual addition
// before them.
//
// T is float, double or BFloat16; weights W are T, or float for BFloat16. x, y, d_y, d_x [rows,
// width]; weight, bias [width]; statistics and gradients of weights are of type Accumulator<T>.
// Gradients of weights are sums of partial sums whose number follows from rows alone: no thread
// count changes them.

#include <cstdint>

#include "pointwork/kernels/bfloat16.h"

namespace pointwork::kernels::cpu {

// y = (x − mean) · rstd · weight + bias with rstd = 1 / √(variance + eps). bias may be null. → y,
// mean [rows], rstd [rows]
template <class T, class W>
void layer_norm(const T* x, const W* weight, const W* bias, double eps, T* y, Accumulator<T>* mean,
                Accumulator<T>* rstd, int64_t rows, int64_t width);

// y = x · rstd · weight with rstd = 1 / √(mean(x²) + eps). → y, rstd [rows]
template <class T, class W>
void rms_norm(const T* x, const W* weight, double eps, T* y, Accumulator<T>* rstd, int64_t rows,
              int64_t width);

// The same of sum = x + delta, which is stored (sum may be x or delta). Statistics are those of the
// sum as stored.
template <class T, class W>
void add_layer_norm(const T* x, const T* delta, const W* weight, const W* bias, double eps, T* sum,
                    T* y, Accumulator<T>* mean, Accumulator<T>* rstd, int64_t rows, int64_t width);
template <class T, class W>
void add_rms_norm(const T* x, const T* delta, const W* weight, double eps, T* sum, T* y,
                  Accumulator<T>* rstd, int64_t rows, int64_t width);

// d_x = the norm's gradient (+ d_residual, where not null: the gradient that reaches x past the
// norm), d_weight [width], d_bias [width] or null. d_x may be d_y or d_residual.
template <class T, class W>
void layer_norm_backward(const T* d_y, const T* x, const W* weight, const Accumulator<T>* mean,
                         const Accumulator<T>* rstd, T* d_x, Accumulator<T>* d_weight,
                         Accumulator<T>* d_bias, int64_t rows, int64_t width,
                         const T* d_residual = nullptr);
template <class T, class W>
void rms_norm_backward(const T* d_y, const T* x, const W* weight, const Accumulator<T>* rstd,
                       T* d_x, Accumulator<T>* d_weight, int64_t rows, int64_t width,
                       const T* d_residual = nullptr);

}  // namespace pointwork::kernels::cpu
