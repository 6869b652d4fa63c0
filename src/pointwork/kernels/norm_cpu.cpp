#include <algorithm>
#include <cmath>
#include <vector>

#include "pointwork/kernels/norm.h"

namespace pointwork::kernels::cpu {
namespace {

constexpr int64_t kParallel = 1 << 13;
// Parameter gradients are summed in this many fixed runs of rows, whatever the threads, then the
// runs in order: the result depends on no thread count.
constexpr int64_t kRuns = 16;

template <class T, class W, bool kCentred>
void forward(const T* x, const W* weight, const W* bias, double eps, T* y, Accumulator<T>* mean,
             Accumulator<T>* rstd, int64_t rows, int64_t width) {
  using A = Accumulator<T>;
#pragma omp parallel for schedule(static) if (rows * width > kParallel)
  for (int64_t t = 0; t < rows; ++t) {
    const T* __restrict__ from = x + t * width;
    T* __restrict__ to = y + t * width;
    A centre = 0;
    if constexpr (kCentred) {
      A sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < width; ++i) sum += A(from[i]);
      centre = sum / static_cast<A>(width);
      mean[t] = centre;
    }
    A square = 0;
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < width; ++i) {
      const A value = A(from[i]) - centre;
      square += value * value;
    }
    const A scale = 1 / std::sqrt(square / static_cast<A>(width) + static_cast<A>(eps));
    rstd[t] = scale;
    if (bias) {
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        to[i] = static_cast<T>((A(from[i]) - centre) * scale * A(weight[i]) + A(bias[i]));
      }
    } else {
#pragma omp simd
      for (int64_t i = 0; i < width; ++i)
        to[i] = static_cast<T>((A(from[i]) - centre) * scale * A(weight[i]));
    }
  }
}

template <class T, class W, bool kCentred>
void backward(const T* dy, const T* x, const W* weight, const Accumulator<T>* mean,
              const Accumulator<T>* rstd, T* dx, Accumulator<T>* d_weight, Accumulator<T>* d_bias,
              int64_t rows, int64_t width) {
  using A = Accumulator<T>;
  const auto size = static_cast<size_t>(width);
  std::vector<A> partial(size * 2 * kRuns, A(0));
#pragma omp parallel for schedule(static) if (rows * width > kParallel)
  for (int64_t run = 0; run < kRuns; ++run) {
    A* __restrict__ weight_sum = partial.data() + 2 * run * width;
    A* __restrict__ bias_sum = weight_sum + width;
    for (int64_t t = rows * run / kRuns; t < rows * (run + 1) / kRuns; ++t) {
      const T* __restrict__ from = x + t * width;
      const T* __restrict__ up = dy + t * width;
      T* __restrict__ to = dx + t * width;
      const A centre = kCentred ? mean[t] : A(0);
      const A scale = rstd[t];
      A sum = 0, dot = 0;
#pragma omp simd reduction(+ : sum, dot)
      for (int64_t i = 0; i < width; ++i) {
        const A hat = (A(from[i]) - centre) * scale;
        const A g = A(up[i]);
        const A weighted = g * A(weight[i]);
        sum += weighted;
        dot += weighted * hat;
        weight_sum[i] += g * hat;
        bias_sum[i] += g;
      }
      const A mean_g = kCentred ? sum / static_cast<A>(width) : A(0);
      const A mean_dot = dot / static_cast<A>(width);
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const A hat = (A(from[i]) - centre) * scale;
        to[i] = static_cast<T>(scale * (A(up[i]) * A(weight[i]) - mean_g - hat * mean_dot));
      }
    }
  }
  const auto reduce = [&](A* out, int64_t offset) {
    std::fill(out, out + width, A(0));
    for (int64_t run = 0; run < kRuns; ++run) {
      const A* from = partial.data() + 2 * run * width + offset;
      for (int64_t i = 0; i < width; ++i) out[i] += from[i];
    }
  };
  reduce(d_weight, 0);
  if (d_bias) reduce(d_bias, width);
}

}  // namespace

template <class T, class W>
void layer_norm(const T* x, const W* weight, const W* bias, double eps, T* y, Accumulator<T>* mean,
                Accumulator<T>* rstd, int64_t rows, int64_t width) {
  forward<T, W, true>(x, weight, bias, eps, y, mean, rstd, rows, width);
}

template <class T, class W>
void layer_norm_backward(const T* dy, const T* x, const W* weight, const Accumulator<T>* mean,
                         const Accumulator<T>* rstd, T* dx, Accumulator<T>* d_weight,
                         Accumulator<T>* d_bias, int64_t rows, int64_t width, const T* d_residual) {
  (void)d_residual;
  backward<T, W, true>(dy, x, weight, mean, rstd, dx, d_weight, d_bias, rows, width);
}

template <class T, class W>
void rms_norm(const T* x, const W* weight, double eps, T* y, Accumulator<T>* rstd, int64_t rows,
              int64_t width) {
  forward<T, W, false>(x, weight, static_cast<const W*>(nullptr), eps, y, nullptr, rstd, rows,
                       width);
}

template <class T, class W>
void rms_norm_backward(const T* dy, const T* x, const W* weight, const Accumulator<T>* rstd, T* dx,
                       Accumulator<T>* d_weight, int64_t rows, int64_t width, const T* d_residual) {
  (void)d_residual;
  backward<T, W, false>(dy, x, weight, nullptr, rstd, dx, d_weight, nullptr, rows, width);
}

#define POINTWORK_INSTANTIATE(T, W)                                                                \
  template void layer_norm<T, W>(const T*, const W*, const W*, double, T*, Accumulator<T>*,        \
                                 Accumulator<T>*, int64_t, int64_t);                               \
  template void layer_norm_backward<T, W>(const T*, const T*, const W*, const Accumulator<T>*,     \
                                          const Accumulator<T>*, T*, Accumulator<T>*,              \
                                          Accumulator<T>*, int64_t, int64_t, const T*);            \
  template void rms_norm<T, W>(const T*, const W*, double, T*, Accumulator<T>*, int64_t, int64_t); \
  template void rms_norm_backward<T, W>(const T*, const T*, const W*, const Accumulator<T>*, T*,   \
                                        Accumulator<T>*, int64_t, int64_t, const T*);
POINTWORK_INSTANTIATE(float, float)
POINTWORK_INSTANTIATE(double, double)
POINTWORK_INSTANTIATE(BFloat16, BFloat16)
#undef POINTWORK_INSTANTIATE

}  // namespace pointwork::kernels::cpu
