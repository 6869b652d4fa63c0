#include <algorithm>
#include <cstring>
#include <vector>

#include "pointwork/kernels/rows.h"

namespace pointwork::kernels::cpu {
namespace {

// Below this many elements a second thread costs more than it brings.
constexpr int64_t kParallel = 1 << 14;

template <class T>
void copy_scaled(const T* __restrict__ from, float weight, bool weighs, T* __restrict__ to, int64_t width) {
  if (!weighs) {
    std::memcpy(to, from, static_cast<size_t>(width) * sizeof(T));
    return;
  }
  const Accumulator<T> factor = weight;
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) to[i] = static_cast<T>(factor * load(from[i]));
}

}  // namespace

template <class T>
void gather_rows(const T* x, const int32_t* token, const float* weight, T* out, int64_t slots, int64_t width) {
#pragma omp parallel for schedule(static) if (slots * width > kParallel)
  for (int64_t s = 0; s < slots; ++s) {
    T* to = out + s * width;
    if (token[s] < 0) {
      std::memset(static_cast<void*>(to), 0, static_cast<size_t>(width) * sizeof(T));
    } else {
      copy_scaled(x + token[s] * width, weight ? weight[s] : 1.0f, weight != nullptr, to, width);
    }
  }
}

template <class T>
void scatter_rows(const T* base, const T* y, const float* weight, const int32_t* row_offset, const int32_t* row_slot, T* out,
                  int64_t rows, int64_t width) {
#pragma omp parallel if (rows * width > kParallel)
  {
    std::vector<Accumulator<T>> sum(static_cast<size_t>(width));
#pragma omp for schedule(static)
    for (int64_t t = 0; t < rows; ++t) {
      T* __restrict__ to = out + t * width;
      const T* from = base ? base + t * width : nullptr;
      const int32_t begin = row_offset[t], end = row_offset[t + 1];
      if (begin == end) {
        if (from) {
          std::memcpy(to, from, static_cast<size_t>(width) * sizeof(T));
        } else {
          std::memset(static_cast<void*>(to), 0, static_cast<size_t>(width) * sizeof(T));
        }
        continue;
      }
      Accumulator<T>* __restrict__ acc = sum.data();
      for (int64_t i = 0; i < width; ++i) acc[i] = from ? load(from[i]) : Accumulator<T>(0);
      for (int32_t k = begin; k < end; ++k) {
        const int32_t slot = row_slot[k];
        const T* __restrict__ add = y + slot * width;
        const Accumulator<T> factor = weight ? weight[slot] : 1.0f;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) acc[i] += factor * load(add[i]);
      }
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) to[i] = static_cast<T>(acc[i]);
    }
  }
}

template <class T>
void gather_dot_rows(const T* d_out, const T* y, const int32_t* token, const float* weight, T* dy, float* d_weight,
                     int64_t slots, int64_t width) {
#pragma omp parallel for schedule(static) if (slots * width > kParallel)
  for (int64_t s = 0; s < slots; ++s) {
    T* __restrict__ to = dy + s * width;
    if (token[s] < 0) {
      std::memset(static_cast<void*>(to), 0, static_cast<size_t>(width) * sizeof(T));
      d_weight[s] = 0;
      continue;
    }
    const T* __restrict__ from = d_out + token[s] * width;
    const T* __restrict__ other = y + s * width;
    const Accumulator<T> factor = weight[s];
    Accumulator<T> dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) {
      const Accumulator<T> value = load(from[i]);
      to[i] = static_cast<T>(factor * value);
      dot += value * load(other[i]);
    }
    d_weight[s] = static_cast<float>(dot);
  }
}

int64_t index_slots(const int32_t* token, int64_t slots, int64_t rows, int32_t* row_offset, int32_t* row_slot) {
  std::fill(row_offset, row_offset + rows + 1, 0);
  for (int64_t s = 0; s < slots; ++s) {
    if (token[s] >= 0) ++row_offset[token[s] + 1];
  }
  for (int64_t t = 0; t < rows; ++t) row_offset[t + 1] += row_offset[t];
  std::vector<int32_t> next(row_offset, row_offset + rows);
  for (int64_t s = 0; s < slots; ++s) {
    if (token[s] >= 0) row_slot[next[static_cast<size_t>(token[s])]++] = static_cast<int32_t>(s);
  }
  return row_offset[rows];
}

#define POINTWORK_INSTANTIATE(T)                                                                               \
  template void gather_rows<T>(const T*, const int32_t*, const float*, T*, int64_t, int64_t);                  \
  template void scatter_rows<T>(const T*, const T*, const float*, const int32_t*, const int32_t*, T*, int64_t, \
                                int64_t);                                                                      \
  template void gather_dot_rows<T>(const T*, const T*, const int32_t*, const float*, T*, float*, int64_t, int64_t);
POINTWORK_INSTANTIATE(float)
POINTWORK_INSTANTIATE(double)
POINTWORK_INSTANTIATE(BFloat16)
#undef POINTWORK_INSTANTIATE

}  // namespace pointwork::kernels::cpu
