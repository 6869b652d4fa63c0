#pragma once
// The product of so few rows with a large matrix that reading it takes longest: each of its
// elements is read once, in order.

#include <cstdint>

#include "pointwork/kernels/bfloat16.h"

namespace pointwork::kernels {

// Up to so many rows a general product is slower (measured: bench/experts_bench.cpp).
template <class T>
inline constexpr int64_t kFewRows = 2;
template <>
inline constexpr int64_t kFewRows<BFloat16> = 1;

namespace cpu {

// out[r][o] = x[r] · weight[o] (+ bias[o]). x [rows, in], weight [columns, in] and bias [columns]
// or null contiguous; rows of out are `stride` elements apart. Sums of BFloat16 are float32. The
// order of a sum follows from `in` alone. On the calling thread.
template <class T>
void project_few(const T* x, const T* weight, const T* bias, T* out, int64_t rows, int64_t in,
                 int64_t columns, int64_t stride);

}  // namespace cpu
}  // namespace pointwork::kernels
