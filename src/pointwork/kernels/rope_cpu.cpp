#include <cmath>
#include <cstring>

#include "pointwork/kernels/parallel.h"
#include "pointwork/kernels/rope.h"
#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::cpu {
namespace {

using simd::LanesOf;
using simd::load;
using simd::store;

// The table is float for every T.
template <class V, class Extent>
POINTWORK_INLINE V load_table(const float* p, Extent lanes) {
  if constexpr (std::is_same_v<V, simd::Double4>) {
    V v{};
    int64_t count = 4;
    if constexpr (std::is_same_v<Extent, simd::Part>) count = lanes.count;
    for (int64_t i = 0; i < count; ++i) v[i] = p[i];
    return v;
  } else {
    return load(p, lanes);
  }
}

template <class T>
void rotate_head(const T* x, const float* cosine, const float* sine, int64_t half, bool inverse,
                 T* out) {
  using V = LanesOf<T>;
  simd::for_each_vector<V>(half, [&](int64_t i, auto lanes) {
    const V c = load_table<V>(cosine + i, lanes), up = load_table<V>(sine + i, lanes);
    const V s = inverse ? -up : up;
    const V a = load(x + i, lanes), b = load(x + half + i, lanes);
    store(out + i, a * c - b * s, lanes);
    store(out + half + i, b * c + a * s, lanes);
  });
}

}  // namespace

std::vector<double> rope_frequencies(int64_t dims, double theta) {
  std::vector<double> frequency;
  for (int64_t i = 0; i < dims / 2; ++i)
    frequency.push_back(std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dims)));
  return frequency;
}

std::vector<float> rope_table(int64_t positions, std::span<const double> frequency) {
  const auto half = static_cast<int64_t>(frequency.size()), dims = 2 * half;
  std::vector<float> table(static_cast<size_t>(positions * dims));
  for (int64_t i = 0; i < half; ++i) {
    for (int64_t p = 0; p < positions; ++p) {
      const double angle = static_cast<double>(p) * frequency[static_cast<size_t>(i)];
      float* row = table.data() + p * dims;
      row[i] = static_cast<float>(std::cos(angle));
      row[half + i] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

template <class T>
void rotate(const T* x, const int32_t* position, const float* table, const RopeShape& shape,
            bool inverse, T* out) {
  const int64_t half = shape.dims / 2, kept = shape.head_dim - shape.dims;
#pragma omp parallel for schedule( \
    static) if (worth_threads(shape.rows * shape.heads * shape.head_dim))
  for (int64_t t = 0; t < shape.rows; ++t) {
    const float* cosine = table + static_cast<int64_t>(position[t]) * shape.dims;
    for (int64_t h = 0; h < shape.heads; ++h) {
      const T* from = x + t * shape.row_stride + h * shape.head_dim;
      T* to = out + t * shape.out_row_stride + h * shape.head_dim;
      rotate_head(from, cosine, cosine + half, half, inverse, to);
      if (kept > 0 && from != to) {
        std::memcpy(static_cast<void*>(to + shape.dims), from + shape.dims,
                    static_cast<size_t>(kept) * sizeof(T));
      }
    }
  }
}

#define INSTANTIATE(T) \
  template void rotate(const T*, const int32_t*, const float*, const RopeShape&, bool, T*);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(BFloat16)

}  // namespace pointwork::kernels::cpu
