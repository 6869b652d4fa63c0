#include "pointwork/kernels/few_rows.h"

#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::cpu {
namespace {

using simd::Full;
using simd::LanesOf;
using simd::load;
using simd::Part;

// kRows dot products with one row of the matrix, in two running sums each: enough where memory is
// what one waits for.
template <int kRows, class T>
void project_one(const T* x, const T* weight, const T* bias, T* out, int64_t in, int64_t stride) {
  using V = LanesOf<T>;
  constexpr int64_t kStep = simd::kLanes<V>;
  V even[kRows] = {}, odd[kRows] = {};
  const auto add = [&](V* sum, int64_t i, auto lanes) {
    const V w = load(weight + i, lanes);
    for (int r = 0; r < kRows; ++r) sum[r] += w * load(x + r * in + i, lanes);
  };
  int64_t i = 0;
  for (; i + 2 * kStep <= in; i += 2 * kStep) {
    add(even, i, Full{});
    add(odd, i + kStep, Full{});
  }
  if (i + kStep <= in) {
    add(even, i, Full{});
    i += kStep;
  }
  if (i < in) add(odd, i, Part{in - i});
  for (int r = 0; r < kRows; ++r) {
    auto sum = simd::sum_lanes(even[r] + odd[r]);
    if (bias) sum += static_cast<decltype(sum)>(*bias);
    out[r * stride] = static_cast<T>(sum);
  }
}

}  // namespace

template <class T>
void project_few(const T* x, const T* weight, const T* bias, T* out, int64_t rows, int64_t in,
                 int64_t columns, int64_t stride) {
  for (int64_t o = 0; o < columns; ++o) {
    const T* w = weight + o * in;
    const T* b = bias ? bias + o : nullptr;
    int64_t r = 0;  // beyond the first two the matrix's row is in the nearest cache
    for (; r + 2 <= rows; r += 2)
      project_one<2>(x + r * in, w, b, out + r * stride + o, in, stride);
    if (r < rows) project_one<1>(x + r * in, w, b, out + r * stride + o, in, stride);
  }
}

#define INSTANTIATE(T) \
  template void project_few(const T*, const T*, const T*, T*, int64_t, int64_t, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(BFloat16)

}  // namespace pointwork::kernels::cpu
