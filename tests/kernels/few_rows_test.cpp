#include "pointwork/kernels/few_rows.h"

#include <gtest/gtest.h>

#include "tests/kernels/tolerance.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

template <class T>
class FewRows : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(FewRows, Types);

TYPED_TEST(FewRows, EqualReference) {
  using T = TypeParam;
  for (const int64_t in : kSizes) {
    for (const int64_t rows : {0, 1, 2, 3, 4, 5}) {
      for (const int64_t columns : {1, 7}) {
        for (const bool biased : {false, true}) {
          const auto x = random_values<T>(rows * in, 1), weight = random_values<T>(columns * in, 2);
          const auto bias = random_values<T>(biased ? columns : 0, 3);
          std::vector<T> out(static_cast<size_t>(rows * columns), T(7.0f));
          cpu::project_few(x.data(), weight.data(), biased ? bias.data() : nullptr, out.data(),
                           rows, in, columns, columns);
          const auto want = reference::project_few(widened(x), widened(weight), widened(bias), in);
          expect_close(std::to_string(rows) + " rows of " + std::to_string(in), out, want,
                       static_cast<double>(in + 1), kEpsilon<T>);
        }
      }
    }
  }
}

// A row's result depends neither on how many others there are nor on where it is written.
TYPED_TEST(FewRows, AreIndependent) {
  using T = TypeParam;
  const int64_t rows = 5, in = 129, columns = 3, stride = 11;
  const auto x = random_values<T>(rows * in, 1), weight = random_values<T>(columns * in, 2);
  std::vector<T> all(static_cast<size_t>(rows * stride), T(7.0f)), one(columns);
  cpu::project_few<T>(x.data(), weight.data(), nullptr, all.data(), rows, in, columns, stride);
  for (int64_t r = 0; r < rows; ++r) {
    cpu::project_few<T>(x.data() + r * in, weight.data(), nullptr, one.data(), 1, in, columns,
                        columns);
    for (int64_t o = 0; o < stride; ++o) {
      const auto at = static_cast<size_t>(r * stride + o);
      EXPECT_EQ(widened(all)[at], o < columns ? widened(one)[static_cast<size_t>(o)] : 7.0);
    }
  }
}

}  // namespace
}  // namespace pointwork::test
