#include <cmath>

#include "pointwork/kernels/bfloat16.h"
#include "pointwork/kernels/rope.h"

namespace pointwork::kernels::cpu {

std::vector<float> rope_table(int64_t positions, int64_t dims, double theta) {
  std::vector<float> table(static_cast<size_t>(positions * dims));
  const int64_t half = dims / 2;
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * std::pow(theta, -2.0 * static_cast<double>(i) /
                                                                        static_cast<double>(dims));
      table[static_cast<size_t>(p * dims + i)] = static_cast<float>(std::cos(angle));
      table[static_cast<size_t>(p * dims + half + i)] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

template <class T>
void rotate(const T* x, const int32_t* position, const float* table, const RopeShape& shape,
            bool inverse, T* out) {
  using A = Accumulator<T>;
  const int64_t half = shape.dims / 2;
  const A sign = inverse ? A(-1) : A(1);
#pragma omp parallel for schedule(static) if (shape.rows * shape.heads * shape.head_dim > (1 << 13))
  for (int64_t t = 0; t < shape.rows; ++t) {
    const float* c = table + position[t] * shape.dims;
    const float* s = c + half;
    for (int64_t h = 0; h < shape.heads; ++h) {
      const T* from = x + t * shape.row_stride + h * shape.head_dim;
      T* to = out + t * shape.out_row_stride + h * shape.head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const A a = A(from[i]), b = A(from[i + half]);
        to[i] = static_cast<T>(a * c[i] - sign * b * s[i]);
        to[i + half] = static_cast<T>(b * c[i] + sign * a * s[i]);
      }
      for (int64_t i = shape.dims; i < shape.head_dim; ++i) to[i] = from[i];
    }
  }
}

template void rotate<float>(const float*, const int32_t*, const float*, const RopeShape&, bool,
                            float*);
template void rotate<double>(const double*, const int32_t*, const float*, const RopeShape&, bool,
                             double*);
template void rotate<BFloat16>(const BFloat16*, const int32_t*, const float*, const RopeShape&,
                               bool, BFloat16*);

}  // namespace pointwork::kernels::cpu
