#include <cmath>
#include <limits>
#include <vector>

#include "pointwork/kernels/attend.h"
#include "pointwork/kernels/bfloat16.h"

namespace pointwork::kernels::cpu {

template <class T>
void attend(const T* query, int64_t rows, int64_t heads, int64_t key_value_heads, int64_t dim,
            const int32_t* sequence, const int32_t* visible, const T* const* key,
            const T* const* value, float scale, T* out) {
  using A = Accumulator<T>;
  const int64_t group = heads / key_value_heads, stride = key_value_heads * dim;
#pragma omp parallel
  {
    std::vector<A> q(static_cast<size_t>(dim)), sum(static_cast<size_t>(dim));
#pragma omp for collapse(2) schedule(dynamic, 4)
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        const T* from = query + (t * heads + h) * dim;
        const T* keys = key[sequence[t]] + h / group * dim;
        const T* values = value[sequence[t]] + h / group * dim;
        A* __restrict__ qs = q.data();
        A* __restrict__ acc = sum.data();
        for (int64_t i = 0; i < dim; ++i) {
          qs[i] = A(from[i]) * static_cast<A>(scale);
          acc[i] = 0;
        }
        A top = -std::numeric_limits<A>::infinity(), total = 0;
        for (int32_t j = 0; j < visible[t]; ++j) {
          const T* __restrict__ k = keys + j * stride;
          A score = 0;
#pragma omp simd reduction(+ : score)
          for (int64_t i = 0; i < dim; ++i) score += qs[i] * A(k[i]);
          if (score > top) {
            const A shrink = std::exp(top - score);
            total *= shrink;
#pragma omp simd
            for (int64_t i = 0; i < dim; ++i) acc[i] *= shrink;
            top = score;
          }
          const A weight = std::exp(score - top);
          total += weight;
          const T* __restrict__ v = values + j * stride;
#pragma omp simd
          for (int64_t i = 0; i < dim; ++i) acc[i] += weight * A(v[i]);
        }
        T* to = out + (t * heads + h) * dim;
        for (int64_t i = 0; i < dim; ++i) to[i] = static_cast<T>(acc[i] / total);
      }
    }
  }
}

template void attend<float>(const float*, int64_t, int64_t, int64_t, int64_t, const int32_t*,
                            const int32_t*, const float* const*, const float* const*, float,
                            float*);
template void attend<double>(const double*, int64_t, int64_t, int64_t, int64_t, const int32_t*,
                             const int32_t*, const double* const*, const double* const*, float,
                             double*);
template void attend<BFloat16>(const BFloat16*, int64_t, int64_t, int64_t, int64_t, const int32_t*,
                               const int32_t*, const BFloat16* const*, const BFloat16* const*,
                               float, BFloat16*);

}  // namespace pointwork::kernels::cpu
