#include <algorithm>
#include <cmath>
#include <vector>

#include "pointwork/kernels/norm.h"
#include "pointwork/kernels/parallel.h"
#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::cpu {
namespace {

using simd::broadcast;
using simd::for_each_vector;
using simd::keep;
using simd::LanesOf;
using simd::load;
using simd::Pair;
using simd::store;
using simd::sum_lanes;
using simd::sum_vectors;

template <class T>
struct Statistics {
  Accumulator<T> mean, rstd;
};

// Two passes over a row in the first-level cache: Σ(x − mean)² loses no digits where the mean is
// large.
template <bool kCentred, class T>
POINTWORK_INLINE Statistics<T> statistics(const T* x, double eps, int64_t width) {
  using A = Accumulator<T>;
  using V = LanesOf<T>;
  A mean = 0;
  if constexpr (kCentred) {
    mean = sum_lanes(
               sum_vectors<V>(width, [&](int64_t i, auto lanes) { return load(x + i, lanes); })) /
           static_cast<A>(width);
  }
  const V centre = broadcast<V>(mean);
  const A square = sum_lanes(sum_vectors<V>(width, [&](int64_t i, auto lanes) {
    const V away = keep(load(x + i, lanes) - centre, lanes);
    return away * away;
  }));
  return {mean, 1 / std::sqrt(square / static_cast<A>(width) + static_cast<A>(eps))};
}

template <class T>
void add_row(const T* x, const T* delta, T* sum, int64_t width) {
  for_each_vector<LanesOf<T>>(width, [&](int64_t i, auto lanes) {
    store(sum + i, load(x + i, lanes) + load(delta + i, lanes), lanes);
  });
}

template <bool kCentred, class T, class W>
void scale_row(const T* x, const W* weight, const W* bias, Statistics<T> s, T* y, int64_t width) {
  using V = LanesOf<T>;
  const V mean = broadcast<V>(s.mean), rstd = broadcast<V>(s.rstd);
  for_each_vector<V>(width, [&](int64_t i, auto lanes) {
    V value = load(x + i, lanes);
    if constexpr (kCentred) value = value - mean;
    value = value * rstd * load(weight + i, lanes);
    store(y + i, bias ? value + load(bias + i, lanes) : value, lanes);
  });
}

// delta null: the norm of x; otherwise of x + delta, stored in sum.
template <bool kCentred, class T, class W>
void forward(const T* x, const T* delta, const W* weight, const W* bias, double eps, T* sum, T* y,
             Accumulator<T>* mean, Accumulator<T>* rstd, int64_t rows, int64_t width) {
#pragma omp parallel for schedule(static) if (worth_threads(rows * width))
  for (int64_t t = 0; t < rows; ++t) {
    const T* from = x + t * width;
    if (delta) {
      add_row(from, delta + t * width, sum + t * width, width);
      from = sum + t * width;
    }
    const Statistics<T> s = statistics<kCentred>(from, eps, width);
    if constexpr (kCentred) mean[t] = s.mean;
    rstd[t] = s.rstd;
    scale_row<kCentred>(from, weight, bias, s, y + t * width, width);
  }
}

template <class T>
struct RowGradient {
  const T *d_y, *x, *d_residual;
  T* d_x;
  Accumulator<T> mean, rstd;
  Accumulator<T>*d_weight, *d_bias;  // sums of this run of rows
};

// With g = d_y · weight and h = (x − mean) · rstd: d_x = rstd · (g − mean(g) − h · mean(g · h));
// mean(g) falls away for RMSNorm.
template <bool kCentred, class T, class W>
void backward_row(const RowGradient<T>& row, const W* weight, int64_t width) {
  using A = Accumulator<T>;
  using V = LanesOf<T>;
  const V mean = broadcast<V>(row.mean), rstd = broadcast<V>(row.rstd);
  const auto normalised = [&](int64_t i, auto lanes) {
    V value = load(row.x + i, lanes);
    if constexpr (kCentred) value = value - mean;
    return value * rstd;
  };
  const Pair<V> sums = sum_vectors<V>(width, [&](int64_t i, auto lanes) {
    const V g = load(row.d_y + i, lanes) * load(weight + i, lanes);
    return Pair<V>{g, g * normalised(i, lanes)};
  });
  const V pull = broadcast<V>(sum_lanes(sums.first) / static_cast<A>(width));
  const V turn = broadcast<V>(sum_lanes(sums.second) / static_cast<A>(width));
  for_each_vector<V>(width, [&](int64_t i, auto lanes) {
    const V d = load(row.d_y + i, lanes), h = normalised(i, lanes);
    V gradient = d * load(weight + i, lanes) - h * turn;
    if constexpr (kCentred) gradient = gradient - pull;
    gradient = gradient * rstd;
    if (row.d_residual) gradient += load(row.d_residual + i, lanes);
    store(row.d_x + i, gradient, lanes);
    store(row.d_weight + i, load(row.d_weight + i, lanes) + d * h, lanes);
    if (row.d_bias) store(row.d_bias + i, load(row.d_bias + i, lanes) + d, lanes);
  });
}

// Rows are summed in runs whose number follows from the rows alone, then the runs in order.
constexpr int64_t kMostRuns = 16, kRowsOfRun = 8;

template <bool kCentred, class T, class W>
void backward(const T* d_y, const T* x, const W* weight, const Accumulator<T>* mean,
              const Accumulator<T>* rstd, T* d_x, Accumulator<T>* d_weight, Accumulator<T>* d_bias,
              int64_t rows, int64_t width, const T* d_residual) {
  using A = Accumulator<T>;
  const int64_t runs = std::clamp<int64_t>(rows / kRowsOfRun, 1, kMostRuns);
  const int64_t parts = d_bias ? 2 : 1;
  std::vector<A> partial(static_cast<size_t>(runs * parts * width));
#pragma omp parallel for schedule(static) if (worth_threads(rows * width))
  for (int64_t run = 0; run < runs; ++run) {
    A* weight_sum = partial.data() + run * parts * width;
    for (int64_t t = rows * run / runs; t < rows * (run + 1) / runs; ++t) {
      const int64_t at = t * width;
      backward_row<kCentred>(
          RowGradient<T>{d_y + at, x + at, d_residual ? d_residual + at : nullptr, d_x + at,
                         kCentred ? mean[t] : A(0), rstd[t], weight_sum,
                         d_bias ? weight_sum + width : nullptr},
          weight, width);
    }
  }
  const auto add_runs = [&](A* out, int64_t part) {
    std::copy_n(partial.data() + part * width, width, out);
    for (int64_t run = 1; run < runs; ++run) {
      add_row(out, partial.data() + (run * parts + part) * width, out, width);
    }
  };
  add_runs(d_weight, 0);
  if (d_bias) add_runs(d_bias, 1);
}

}  // namespace

template <class T, class W>
void layer_norm(const T* x, const W* weight, const W* bias, double eps, T* y, Accumulator<T>* mean,
                Accumulator<T>* rstd, int64_t rows, int64_t width) {
  forward<true, T, W>(x, nullptr, weight, bias, eps, nullptr, y, mean, rstd, rows, width);
}

template <class T, class W>
void rms_norm(const T* x, const W* weight, double eps, T* y, Accumulator<T>* rstd, int64_t rows,
              int64_t width) {
  forward<false, T, W>(x, nullptr, weight, nullptr, eps, nullptr, y, nullptr, rstd, rows, width);
}

template <class T, class W>
void add_layer_norm(const T* x, const T* delta, const W* weight, const W* bias, double eps, T* sum,
                    T* y, Accumulator<T>* mean, Accumulator<T>* rstd, int64_t rows, int64_t width) {
  forward<true, T, W>(x, delta, weight, bias, eps, sum, y, mean, rstd, rows, width);
}

template <class T, class W>
void add_rms_norm(const T* x, const T* delta, const W* weight, double eps, T* sum, T* y,
                  Accumulator<T>* rstd, int64_t rows, int64_t width) {
  forward<false, T, W>(x, delta, weight, nullptr, eps, sum, y, nullptr, rstd, rows, width);
}

template <class T, class W>
void layer_norm_backward(const T* d_y, const T* x, const W* weight, const Accumulator<T>* mean,
                         const Accumulator<T>* rstd, T* d_x, Accumulator<T>* d_weight,
                         Accumulator<T>* d_bias, int64_t rows, int64_t width, const T* d_residual) {
  backward<true>(d_y, x, weight, mean, rstd, d_x, d_weight, d_bias, rows, width, d_residual);
}

template <class T, class W>
void rms_norm_backward(const T* d_y, const T* x, const W* weight, const Accumulator<T>* rstd,
                       T* d_x, Accumulator<T>* d_weight, int64_t rows, int64_t width,
                       const T* d_residual) {
  backward<false, T, W>(d_y, x, weight, nullptr, rstd, d_x, d_weight, nullptr, rows, width,
                        d_residual);
}

#define INSTANTIATE(T, W)                                                                        \
  template void layer_norm(const T*, const W*, const W*, double, T*, Accumulator<T>*,            \
                           Accumulator<T>*, int64_t, int64_t);                                   \
  template void rms_norm(const T*, const W*, double, T*, Accumulator<T>*, int64_t, int64_t);     \
  template void add_layer_norm(const T*, const T*, const W*, const W*, double, T*, T*,           \
                               Accumulator<T>*, Accumulator<T>*, int64_t, int64_t);              \
  template void add_rms_norm(const T*, const T*, const W*, double, T*, T*, Accumulator<T>*,      \
                             int64_t, int64_t);                                                  \
  template void layer_norm_backward(const T*, const T*, const W*, const Accumulator<T>*,         \
                                    const Accumulator<T>*, T*, Accumulator<T>*, Accumulator<T>*, \
                                    int64_t, int64_t, const T*);                                 \
  template void rms_norm_backward(const T*, const T*, const W*, const Accumulator<T>*, T*,       \
                                  Accumulator<T>*, int64_t, int64_t, const T*);
INSTANTIATE(float, float)
INSTANTIATE(double, double)
INSTANTIATE(BFloat16, BFloat16)
INSTANTIATE(BFloat16, float)

}  // namespace pointwork::kernels::cpu
