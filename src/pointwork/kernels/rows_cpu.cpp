#include <algorithm>
#include <cstring>

#include "pointwork/kernels/bfloat16.h"
#include "pointwork/kernels/parallel.h"
#include "pointwork/kernels/rows.h"
#include "pointwork/kernels/rows_body.h"
#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::cpu {
namespace {

using body::row_of_slot;
using body::SlotRun;
using body::slots_of_row;
using body::weight_of_slot;
using simd::broadcast;
using simd::for_each_vector;

using simd::LanesOf;
using simd::load;
using simd::store;

template <class T>
void zero_row(T* out, int64_t width) {
  std::memset(static_cast<void*>(out), 0, static_cast<size_t>(width) * sizeof(T));
}

template <class T>
void copy_row(const T* x, T* out, int64_t width) {
  std::memcpy(static_cast<void*>(out), x, static_cast<size_t>(width) * sizeof(T));
}

// The sum stays in a register while the row's slots pass by, so it is rounded to T once.
template <class T>
void sum_slots(const T* base, const T* y, const float* weight, const int32_t* slot, SlotRun run,
               T* out, int64_t width) {
  using V = LanesOf<T>;
  for_each_vector<V>(width, [&](int64_t i, auto lanes) {
    V sum = base ? load(base + i, lanes) : V{};
    for (int32_t j = run.first; j < run.last; ++j) {
      const int64_t s = slot[j];
      sum += broadcast<V>(weight_of_slot(weight, s)) * load(y + s * width + i, lanes);
    }
    store(out + i, sum, lanes);
  });
}

}  // namespace

template <class T>
void gather_rows(const T* x, const int32_t* token, const float* weight, T* out, int64_t slots,
                 int64_t width) {
  using V = LanesOf<T>;
#pragma omp parallel for schedule(static) if (worth_threads(slots * width))
  for (int64_t s = 0; s < slots; ++s) {
    const T* row = row_of_slot(x, token, s, width);
    T* to = out + s * width;
    if (!row) {
      zero_row(to, width);
    } else if (!weight) {
      copy_row(row, to, width);
    } else {
      const V w = broadcast<V>(weight[s]);
      for_each_vector<V>(
          width, [&](int64_t i, auto lanes) { store(to + i, w * load(row + i, lanes), lanes); });
    }
  }
}

template <class T>
void scatter_rows(const T* base, const T* y, const float* weight, const int32_t* row_offset,
                  const int32_t* row_slot, T* out, int64_t rows, int64_t width) {
  const int64_t touched = base == out ? row_offset[rows] : rows;
  // Frequent ids of an embedding make some rows long: chunks go to whichever thread is free.
#pragma omp parallel for schedule(dynamic, 32) if (worth_threads(touched * width))
  for (int64_t t = 0; t < rows; ++t) {
    const SlotRun run = slots_of_row(row_offset, t);
    const T* from = base ? base + t * width : nullptr;
    T* to = out + t * width;
    if (run.first < run.last) {
      sum_slots(from, y, weight, row_slot, run, to, width);
    } else if (!base) {
      zero_row(to, width);
    } else if (base != out) {
      copy_row(from, to, width);
    }
  }
}

template <class T>
void gather_dot_rows(const T* d_out, const T* y, const int32_t* token, const float* weight, T* d_y,
                     float* d_weight, int64_t slots, int64_t width) {
  using V = LanesOf<T>;
#pragma omp parallel for schedule(static) if (worth_threads(slots * width))
  for (int64_t s = 0; s < slots; ++s) {
    const T* row = row_of_slot(d_out, token, s, width);
    const T* from = y + s * width;
    T* to = d_y + s * width;
    if (!row) {
      zero_row(to, width);
      d_weight[s] = 0;
      continue;
    }
    const V w = broadcast<V>(weight_of_slot(weight, s));
    const V dot = simd::sum_vectors<V>(width, [&](int64_t i, auto lanes) {
      const V gradient = load(row + i, lanes);
      const V product = gradient * load(from + i, lanes);
      store(to + i, w * gradient, lanes);
      return product;
    });
    d_weight[s] = static_cast<float>(simd::sum_lanes(dot));
  }
}

int64_t index_slots(const int32_t* token, int64_t slots, int64_t rows, int32_t* row_offset,
                    int32_t* row_slot) {
  std::fill_n(row_offset, rows + 1, 0);
  for (int64_t s = 0; s < slots; ++s) {
    if (token[s] >= 0) ++row_offset[token[s]];
  }
  // Ends of the rows' runs; filling from the last slot down turns them into starts.
  int32_t filled = 0;
  for (int64_t t = 0; t < rows; ++t) {
    filled += row_offset[t];
    row_offset[t] = filled;
  }
  row_offset[rows] = filled;
  for (int64_t s = slots - 1; s >= 0; --s) {
    if (token[s] >= 0) row_slot[--row_offset[token[s]]] = static_cast<int32_t>(s);
  }
  return filled;
}

#define INSTANTIATE(T)                                                                             \
  template void gather_rows(const T*, const int32_t*, const float*, T*, int64_t, int64_t);         \
  template void scatter_rows(const T*, const T*, const float*, const int32_t*, const int32_t*, T*, \
                             int64_t, int64_t);                                                    \
  template void gather_dot_rows(const T*, const T*, const int32_t*, const float*, T*, float*,      \
                                int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(BFloat16)

}  // namespace pointwork::kernels::cpu
