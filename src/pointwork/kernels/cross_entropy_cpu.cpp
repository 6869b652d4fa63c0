#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "pointwork/kernels/cross_entropy.h"
#include "pointwork/kernels/simd_exp.h"

namespace pointwork::kernels::cpu {

template <class T>
void cross_entropy_rows(const T* logits, int64_t stride, int64_t rows, int64_t vocab, const int32_t* target, float scale,
                        float z_loss, T* gradient, float* loss, float* lse, int32_t* argmax) {
#pragma omp parallel
  {
    // The exponentials of one row, in float: they are needed twice, and a cache holds them.
    std::vector<float> row(static_cast<size_t>(vocab));
#pragma omp for schedule(static)
    for (int64_t i = 0; i < rows; ++i) {
      const T* __restrict__ x = logits + i * stride;
      float* __restrict__ e = row.data();
      float top = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : top)
      for (int64_t v = 0; v < vocab; ++v) {
        e[v] = static_cast<float>(x[v]);
        top = e[v] > top ? e[v] : top;
      }
      if (argmax) argmax[i] = static_cast<int32_t>(std::max_element(e, e + vocab) - e);
      const float own = target[i] >= 0 ? e[target[i]] : 0;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t v = 0; v < vocab; ++v) {
        // A NaN must stay one: it is what tells the step's guard.
        const float shifted = e[v] - top;
        const float value = shifted == shifted ? simd_exp(shifted) : shifted;
        e[v] = value;
        sum += value;
      }
      lse[i] = top + std::log(sum);
      loss[i] = target[i] >= 0 ? lse[i] - own : 0;
      if (!gradient) continue;
      T* __restrict__ out = gradient + i * stride;
      const float used = target[i] >= 0 ? scale : 0;
      const float factor = used * (1 + 2 * z_loss * lse[i]) / sum;
#pragma omp simd
      for (int64_t v = 0; v < vocab; ++v) out[v] = static_cast<T>(factor * e[v]);
      if (target[i] >= 0) out[target[i]] = static_cast<T>(factor * e[target[i]] - used);
    }
  }
}

template void cross_entropy_rows<float>(const float*, int64_t, int64_t, int64_t, const int32_t*, float, float, float*, float*,
                                        float*, int32_t*);
template void cross_entropy_rows<BFloat16>(const BFloat16*, int64_t, int64_t, int64_t, const int32_t*, float, float, BFloat16*,
                                           float*, float*, int32_t*);
// Double logits keep float sums here: exact work in double is the composite's.
template void cross_entropy_rows<double>(const double*, int64_t, int64_t, int64_t, const int32_t*, float, float, double*, float*,
                                         float*, int32_t*);

}  // namespace pointwork::kernels::cpu
