#include "pointwork/kernels/bfloat16.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pointwork/kernels/simd.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
namespace simd = kernels::simd;

BFloat16 stored_by_lanes(float value) {
  BFloat16 out[8];
  simd::store(out, simd::broadcast<simd::Float8>(value), simd::Full{});
  return out[7];
}

TEST(BFloat16, EveryPatternComesBack) {
  for (uint32_t word = 0; word < 0x10000u; ++word) {
    BFloat16 before;
    before.bits = static_cast<uint16_t>(word);
    const float wide = before;
    const uint16_t want = std::isnan(wide) ? 0x7FC0 : static_cast<uint16_t>(word);
    EXPECT_EQ(BFloat16(wide).bits, want);
    EXPECT_EQ(stored_by_lanes(wide).bits, want);
  }
}

// Nearest of the two neighbours, and the even one half-way, found by comparing distances.
TEST(BFloat16, RoundsToNearestEven) {
  for (uint64_t word = 0; word < 0x7F800000u; word += 4099) {
    for (const uint32_t low : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
      const auto bits = static_cast<uint32_t>((word & 0xFFFF0000u) | low);
      const double value = std::bit_cast<float>(bits);
      const uint32_t down = bits >> 16, up = down + 1;
      const double below = std::bit_cast<float>(down << 16);
      // Beyond the largest number the next step of the scale stands for infinity.
      const double above =
          up == 0x7F80 ? 0x1p128 : static_cast<double>(std::bit_cast<float>(up << 16));
      const uint32_t want = value - below < above - value
                                ? down
                                : (value - below > above - value ? up : (down % 2 ? up : down));
      EXPECT_EQ(BFloat16(static_cast<float>(value)).bits, want) << bits;
      EXPECT_EQ(stored_by_lanes(static_cast<float>(value)).bits, want) << bits;
      EXPECT_EQ(BFloat16(static_cast<float>(-value)).bits, want | 0x8000u) << bits;
    }
  }
}

}  // namespace
}  // namespace pointwork::test
