#include <algorithm>
#include <vector>

#include "pointwork/kernels/activation_math.h"
#include "pointwork/kernels/gru.h"
#include "pointwork/kernels/parallel.h"
#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::cpu {
namespace {

using simd::for_each_vector;
using simd::LanesOf;
using simd::load;
using simd::store;

template <class T>
void forward_row(const T* a, const T* c, const T* h, T* out, T* kept, int64_t size) {
  using V = LanesOf<T>;
  for_each_vector<V>(size, [&](int64_t i, auto lanes) {
    const V turned = load(c + 2 * size + i, lanes);
    const V reset = simd::sigmoid(load(a + i, lanes) + load(c + i, lanes));
    const V update = simd::sigmoid(load(a + size + i, lanes) + load(c + size + i, lanes));
    const V fresh = simd::tanh(load(a + 2 * size + i, lanes) + reset * turned);
    const V before = h ? load(h + i, lanes) : V{};
    store(out + i, fresh + update * (before - fresh), lanes);
    if (!kept) return;
    store(kept + i, reset, lanes);
    store(kept + size + i, update, lanes);
    store(kept + 2 * size + i, fresh, lanes);
    if (h) store(kept + 3 * size + i, turned, lanes);
  });
}

template <class T>
struct RowGradient {
  const T *d_out, *kept, *turned, *h;
  T *d_a, *d_c, *d_h;
};

// kSum: d_c is added to, otherwise written.
template <bool kSum, class T>
void backward_row(const RowGradient<T>& row, int64_t size) {
  using V = LanesOf<T>;
  for_each_vector<V>(size, [&](int64_t i, auto lanes) {
    const V g = load(row.d_out + i, lanes), turned = load(row.turned + i, lanes);
    const V reset = load(row.kept + i, lanes), update = load(row.kept + size + i, lanes);
    const V fresh = load(row.kept + 2 * size + i, lanes);
    const V before = row.h ? load(row.h + i, lanes) : V{};
    const V d_update = g * (before - fresh) * update * (T(1) - update);
    const V d_fresh = g * (T(1) - update) * (T(1) - fresh * fresh);
    const V d_turned = d_fresh * reset;
    const V d_reset = d_turned * turned * (T(1) - reset);
    store(row.d_a + i, d_reset, lanes);
    store(row.d_a + size + i, d_update, lanes);
    store(row.d_a + 2 * size + i, d_fresh, lanes);
    const auto give = [&](T* to, V value) {
      store(to, kSum ? load(to, lanes) + value : value, lanes);
    };
    give(row.d_c + i, d_reset);
    give(row.d_c + size + i, d_update);
    give(row.d_c + 2 * size + i, d_turned);
    if (row.d_h) store(row.d_h + i, g * update, lanes);
  });
}

// Of a state of 0: rows are summed in runs whose number follows from the rows alone, then the runs
// in order.
constexpr int64_t kMostRuns = 16, kRowsOfRun = 8;

template <class T>
void backward_of_zero(const T* d_out, const T* kept, const T* c, T* d_a, T* d_c, int64_t rows,
                      int64_t size, bool threads) {
  const int64_t runs = std::clamp<int64_t>(rows / kRowsOfRun, 1, kMostRuns), width = 3 * size;
  std::vector<T> partial(static_cast<size_t>(runs * width));
#pragma omp parallel for schedule(static) if (threads)
  for (int64_t run = 0; run < runs; ++run) {
    for (int64_t t = rows * run / runs; t < rows * (run + 1) / runs; ++t) {
      backward_row<true>(RowGradient<T>{d_out + t * size, kept + t * width, c + 2 * size, nullptr,
                                        d_a + t * width, partial.data() + run * width, nullptr},
                         size);
    }
  }
  std::copy_n(partial.data(), width, d_c);
  for (int64_t run = 1; run < runs; ++run) {
    const T* from = partial.data() + run * width;
    for_each_vector<LanesOf<T>>(width, [&](int64_t i, auto lanes) {
      store(d_c + i, load(d_c + i, lanes) + load(from + i, lanes), lanes);
    });
  }
}

// Three exponentials an element, where a copy has none.
bool worth_forward(int64_t elements) { return worth_threads(12 * elements); }
bool worth_backward(int64_t elements) { return worth_threads(8 * elements); }

}  // namespace

template <class T>
void gru_cell(const T* a, const T* c, const T* h, T* out, T* kept, int64_t rows, int64_t size) {
  const int64_t stride = h ? 3 * size : 0, keeps = (h ? 4 : 3) * size;
#pragma omp parallel for schedule(static) if (worth_forward(rows * size))
  for (int64_t t = 0; t < rows; ++t) {
    forward_row(a + t * 3 * size, c + t * stride, h ? h + t * size : nullptr, out + t * size,
                kept ? kept + t * keeps : nullptr, size);
  }
}

template <class T>
void gru_cell_backward(const T* d_out, const T* kept, const T* c, const T* h, T* d_a, T* d_c,
                       T* d_h, int64_t rows, int64_t size) {
  const bool threads = worth_backward(rows * size);
  if (!h) return backward_of_zero(d_out, kept, c, d_a, d_c, rows, size, threads);
#pragma omp parallel for schedule(static) if (threads)
  for (int64_t t = 0; t < rows; ++t) {
    const T* from = kept + t * 4 * size;
    backward_row<false>(
        RowGradient<T>{d_out + t * size, from, from + 3 * size, h + t * size, d_a + t * 3 * size,
                       d_c + t * 3 * size, d_h ? d_h + t * size : nullptr},
        size);
  }
}

#define INSTANTIATE(T)                                                                         \
  template void gru_cell(const T*, const T*, const T*, T*, T*, int64_t, int64_t);              \
  template void gru_cell_backward(const T*, const T*, const T*, const T*, T*, T*, T*, int64_t, \
                                  int64_t);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace pointwork::kernels::cpu
