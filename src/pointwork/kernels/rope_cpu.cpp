#include <cmath>
#include <vector>

#include "pointwork/kernels/rope.h"

namespace pointwork::kernels::cpu {

template <class T>
void rotate(const T* x, int64_t row_stride, const int32_t* position, int64_t rows, int64_t heads, int64_t dim, int64_t dims,
            double theta, double sign, T* out) {
  using A = Accumulator<T>;
  const int64_t half = dims / 2;
  std::vector<double> frequency(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    frequency[static_cast<size_t>(i)] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dims));
  }
#pragma omp parallel if (rows * heads * dim > (1 << 13))
  {
    std::vector<A> cosine(static_cast<size_t>(half)), sine(static_cast<size_t>(half));
#pragma omp for schedule(static)
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle = sign * position[t] * frequency[static_cast<size_t>(i)];
        cosine[static_cast<size_t>(i)] = static_cast<A>(std::cos(angle));
        sine[static_cast<size_t>(i)] = static_cast<A>(std::sin(angle));
      }
      const A *c = cosine.data(), *s = sine.data();
      for (int64_t h = 0; h < heads; ++h) {
        const T* from = x + t * row_stride + h * dim;
        T* to = out + (t * heads + h) * dim;
#pragma omp simd
        for (int64_t i = 0; i < half; ++i) {
          const A a = load(from[i]), b = load(from[i + half]);
          to[i] = static_cast<T>(a * c[i] - b * s[i]);
          to[i + half] = static_cast<T>(b * c[i] + a * s[i]);
        }
        for (int64_t i = dims; i < dim; ++i) to[i] = from[i];
      }
    }
  }
}

template void rotate<float>(const float*, int64_t, const int32_t*, int64_t, int64_t, int64_t, int64_t, double, double, float*);
template void rotate<double>(const double*, int64_t, const int32_t*, int64_t, int64_t, int64_t, int64_t, double, double, double*);
template void rotate<BFloat16>(const BFloat16*, int64_t, const int32_t*, int64_t, int64_t, int64_t, int64_t, double, double,
                               BFloat16*);

}  // namespace pointwork::kernels::cpu
