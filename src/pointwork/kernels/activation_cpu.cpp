#include <algorithm>

#include "pointwork/kernels/activation.h"
#include "pointwork/kernels/activation_math.h"
#include "pointwork/kernels/parallel.h"
#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::cpu {
namespace {

using simd::for_each_vector;
using simd::LanesOf;
using simd::load;
using simd::store;

constexpr int64_t kChunk = 4096;

// An exponential costs more than a copy, so threads pay earlier.
bool worth(int64_t elements) { return worth_threads(4 * elements); }

template <class Op, class T>
void map(const T* x, T* y, int64_t count) {
  using V = LanesOf<T>;
#pragma omp parallel for schedule(static) if (worth(count))
  for (int64_t first = 0; first < count; first += kChunk) {
    for_each_vector<V>(std::min(kChunk, count - first), [&](int64_t i, auto lanes) {
      store(y + first + i, Op::value(load(x + first + i, lanes)), lanes);
    });
  }
}

template <class Op, class T>
void map_backward(const T* d_y, const T* x, T* d_x, int64_t count) {
  using V = LanesOf<T>;
#pragma omp parallel for schedule(static) if (worth(count))
  for (int64_t first = 0; first < count; first += kChunk) {
    for_each_vector<V>(std::min(kChunk, count - first), [&](int64_t i, auto lanes) {
      const V slope = Op::derivative(load(x + first + i, lanes));
      store(d_x + first + i, load(d_y + first + i, lanes) * slope, lanes);
    });
  }
}

}  // namespace

template <class T>
void activate(Nonlinearity kind, const T* x, T* y, int64_t count) {
  switch (kind) {
    case Nonlinearity::gelu:
      return map<simd::Gelu>(x, y, count);
    case Nonlinearity::gelu_tanh:
      return map<simd::GeluTanh>(x, y, count);
    case Nonlinearity::relu:
      return map<simd::Relu>(x, y, count);
  }
}

template <class T>
void activate_backward(Nonlinearity kind, const T* d_y, const T* x, T* d_x, int64_t count) {
  switch (kind) {
    case Nonlinearity::gelu:
      return map_backward<simd::Gelu>(d_y, x, d_x, count);
    case Nonlinearity::gelu_tanh:
      return map_backward<simd::GeluTanh>(d_y, x, d_x, count);
    case Nonlinearity::relu:
      return map_backward<simd::Relu>(d_y, x, d_x, count);
  }
}

template <class T>
void swiglu(const T* gate, const T* up, int64_t stride, T* out, int64_t rows, int64_t width) {
  using V = LanesOf<T>;
#pragma omp parallel for schedule(static) if (worth(rows * width))
  for (int64_t t = 0; t < rows; ++t) {
    const T *g = gate + t * stride, *u = up + t * stride;
    T* to = out + t * width;
    for_each_vector<V>(width, [&](int64_t i, auto lanes) {
      store(to + i, simd::Silu::value(load(g + i, lanes)) * load(u + i, lanes), lanes);
    });
  }
}

template <class T>
void swiglu_backward(const T* d_out, const T* gate, const T* up, int64_t stride, T* d_gate, T* d_up,
                     int64_t d_stride, int64_t rows, int64_t width) {
  using V = LanesOf<T>;
  using A = Accumulator<T>;
#pragma omp parallel for schedule(static) if (worth(rows * width))
  for (int64_t t = 0; t < rows; ++t) {
    for_each_vector<V>(width, [&](int64_t i, auto lanes) {
      const V d = load(d_out + t * width + i, lanes);
      const V g = load(gate + t * stride + i, lanes), u = load(up + t * stride + i, lanes);
      const V s = simd::sigmoid(g);
      store(d_up + t * d_stride + i, d * g * s, lanes);
      store(d_gate + t * d_stride + i, d * u * s * (A(1) + g * (A(1) - s)), lanes);
    });
  }
}

#define INSTANTIATE(T)                                                                           \
  template void activate(Nonlinearity, const T*, T*, int64_t);                                   \
  template void activate_backward(Nonlinearity, const T*, const T*, T*, int64_t);                \
  template void swiglu(const T*, const T*, int64_t, T*, int64_t, int64_t);                       \
  template void swiglu_backward(const T*, const T*, const T*, int64_t, T*, T*, int64_t, int64_t, \
                                int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(BFloat16)

}  // namespace pointwork::kernels::cpu
