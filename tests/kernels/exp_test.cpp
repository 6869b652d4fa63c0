#include "pointwork/kernels/exp.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "pointwork/kernels/activation_math.h"

namespace pointwork::test {
namespace {

namespace simd = kernels::simd;

float exp_of(float x) { return simd::exp(simd::broadcast<simd::Float8>(x))[0]; }

double ulp_of(double value) {
  const auto nearest = std::abs(static_cast<float>(value));
  return static_cast<double>(std::nextafter(nearest, std::numeric_limits<float>::infinity())) -
         static_cast<double>(nearest);
}

// Steps through the bit patterns of both signs: every binade is visited.
TEST(Exp, IsWithinOneUlpWhereTheResultIsNormal) {
  double worst = 0;
  float at = 0;
  for (uint32_t word = 0; word < 0x42B20000u; word += 97) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float x = std::bit_cast<float>(word | sign);
      const double want = std::exp(static_cast<double>(x));
      if (want < static_cast<double>(std::numeric_limits<float>::min()) ||
          want > static_cast<double>(std::numeric_limits<float>::max()))
        continue;
      const double error = std::abs(static_cast<double>(exp_of(x)) - want) / ulp_of(want);
      if (!(error <= worst)) worst = error, at = x;
    }
  }
  EXPECT_LE(worst, 1.0) << "ulp at " << at;
  EXPECT_GE(worst, 0.5);  // or nothing was measured
}

TEST(Exp, EndsOfTheRange) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(exp_of(0), 1);
  EXPECT_EQ(exp_of(-0.0f), 1);
  EXPECT_EQ(exp_of(-kInfinity), 0);
  EXPECT_EQ(exp_of(-1e30f), 0);
  EXPECT_EQ(exp_of(-88), 0);
  EXPECT_GT(exp_of(-87.33f), 0);
  EXPECT_LT(exp_of(88.72f), kInfinity);
  EXPECT_EQ(exp_of(88.73f), kInfinity);
  EXPECT_EQ(exp_of(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(exp_of(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Normal, DistributionIsWithinItsRounding) {
  for (float x = -13; x < 13; x += 0.00037f) {
    const auto got = simd::normal(simd::broadcast<simd::Float8>(x));
    const double want = 0.5 * std::erfc(-static_cast<double>(x) / std::sqrt(2.0));
    // exp(−x²/2) passes the rounding of x²/2 on as a relative error of that size.
    const double bound =
        0x1p-23 * want * (4 + 0.5 * static_cast<double>(x) * static_cast<double>(x)) + 1e-37;
    EXPECT_NEAR(got.below[0], want, bound) << x;
    const double density =
        std::exp(-0.5 * static_cast<double>(x) * static_cast<double>(x)) * 0.39894228040143267794;
    EXPECT_NEAR(
        got.density[0], density,
        0x1p-23 * density * (4 + 0.5 * static_cast<double>(x) * static_cast<double>(x)) + 1e-37)
        << x;
  }
}

}  // namespace
}  // namespace pointwork::test
