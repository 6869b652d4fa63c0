#include <cmath>
#include <type_traits>

#include "pointwork/kernels/simd_exp.h"
#include "pointwork/kernels/swiglu.h"

namespace pointwork::kernels::cpu {
namespace {

constexpr int64_t kParallel = 1 << 13;

template <class A>
A sigmoid(A x) {
  if constexpr (std::is_same_v<A, double>) {
    return 1 / (1 + std::exp(-x));
  } else {
    return 1 / (1 + simd_exp(-x));
  }
}

}  // namespace

template <class T>
void swiglu(const T* x, T* out, int64_t rows, int64_t width) {
  using A = Accumulator<T>;
#pragma omp parallel for schedule(static) if (rows * width > kParallel)
  for (int64_t t = 0; t < rows; ++t) {
    const T* __restrict__ gate = x + 2 * t * width;
    const T* __restrict__ up = gate + width;
    T* __restrict__ to = out + t * width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const A g = load(gate[i]);
      to[i] = static_cast<T>(g * sigmoid<A>(g) * load(up[i]));
    }
  }
}

template <class T>
void swiglu_backward(const T* d_out, const T* x, T* dx, int64_t rows, int64_t width) {
  using A = Accumulator<T>;
#pragma omp parallel for schedule(static) if (rows * width > kParallel)
  for (int64_t t = 0; t < rows; ++t) {
    const T* __restrict__ gate = x + 2 * t * width;
    const T* __restrict__ up = gate + width;
    const T* __restrict__ d = d_out + t * width;
    T* __restrict__ d_gate = dx + 2 * t * width;
    T* __restrict__ d_up = d_gate + width;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const A g = load(gate[i]), s = sigmoid<A>(g), upstream = load(d[i]);
      d_up[i] = static_cast<T>(upstream * g * s);
      d_gate[i] = static_cast<T>(upstream * load(up[i]) * s * (1 + g * (1 - s)));
    }
  }
}

#define POINTWORK_INSTANTIATE(T)                                 \
  template void swiglu<T>(const T*, T*, int64_t, int64_t);       \
  template void swiglu_backward<T>(const T*, const T*, T*, int64_t, int64_t);
POINTWORK_INSTANTIATE(float)
POINTWORK_INSTANTIATE(double)
POINTWORK_INSTANTIATE(BFloat16)
#undef POINTWORK_INSTANTIATE

}  // namespace pointwork::kernels::cpu
