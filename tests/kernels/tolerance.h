#pragma once
// The derived bound between a kernel and its reference, never tuned:
//   |got − want| ≤ u(output) · |want| + c · √n · eps(accumulator) · Σ|terms|
// u is half the spacing of the output's type at 1, n the number of terms of a sum, c = 4 for the
// few roundings in each term.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "pointwork/kernels/bfloat16.h"
#include "pointwork/kernels/reference.h"
#include "tests/kernels/cases.h"

namespace pointwork::test {

template <class T>
inline constexpr double kRoundoff = 0x1p-24;
template <>
inline constexpr double kRoundoff<double> = 0x1p-53;
template <>
inline constexpr double kRoundoff<kernels::BFloat16> = 0x1p-8;

template <class T>
inline constexpr double kEpsilon = std::numeric_limits<kernels::Accumulator<T>>::epsilon();

// n: terms of the longest sum behind an output. epsilon: of the accumulator. The worst element is
// named.
template <class Out>
void expect_close(const std::string& what, const std::vector<Out>& got,
                  const kernels::reference::Bounded& want, double n, double epsilon) {
  ASSERT_EQ(got.size(), want.value.size()) << what;
  const std::vector<double> wide = widened(got);
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double bound = kRoundoff<Out> * std::abs(want.value[i]) +
                         4 * std::sqrt(n) * epsilon * want.terms[i] +
                         static_cast<double>(std::numeric_limits<float>::min());
    const double ratio = std::abs(wide[i] - want.value[i]) / bound;
    if (!(ratio <= worst)) worst = ratio, at = i;  // NaN counts as worst
  }
  if (got.empty()) return;
  EXPECT_LE(worst, 1) << what << ": worst at " << at << " of " << got.size() << ", got " << wide[at]
                      << ", want " << want.value[at] << ", terms " << want.terms[at];
}

}  // namespace pointwork::test
