#include <cmath>

#include "pointwork/kernels/activation.h"
#include "pointwork/kernels/bfloat16.h"

namespace pointwork::kernels::cpu {

template <class T>
void swiglu(const T* gate, const T* up, int64_t stride, T* out, int64_t rows, int64_t width) {
  using A = Accumulator<T>;
#pragma omp parallel for schedule(static) if (rows * width > (1 << 13))
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t i = 0; i < width; ++i) {
      const A g = A(gate[t * stride + i]);
      out[t * width + i] = static_cast<T>(g / (1 + std::exp(-g)) * A(up[t * stride + i]));
    }
  }
}

template <class T>
void swiglu_backward(const T* d_out, const T* gate, const T* up, int64_t stride, T* d_gate, T* d_up,
                     int64_t d_stride, int64_t rows, int64_t width) {
  using A = Accumulator<T>;
#pragma omp parallel for schedule(static) if (rows * width > (1 << 13))
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t i = 0; i < width; ++i) {
      const A g = A(gate[t * stride + i]), s = 1 / (1 + std::exp(-g)), d = A(d_out[t * width + i]),
              u = A(up[t * stride + i]);
      d_up[t * d_stride + i] = static_cast<T>(d * g * s);
      d_gate[t * d_stride + i] = static_cast<T>(d * u * s * (1 + g * (1 - s)));
    }
  }
}

#define POINTWORK_INSTANTIATE(T)                                                           \
  template void swiglu<T>(const T*, const T*, int64_t, T*, int64_t, int64_t);              \
  template void swiglu_backward<T>(const T*, const T*, const T*, int64_t, T*, T*, int64_t, \
                                   int64_t, int64_t);
POINTWORK_INSTANTIATE(float)
POINTWORK_INSTANTIATE(double)
POINTWORK_INSTANTIATE(BFloat16)
#undef POINTWORK_INSTANTIATE

}  // namespace pointwork::kernels::cpu
