#include "pointwork/base/rng.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <string>
#include <vector>

namespace pointwork::test {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers of philox4x32 with 10 rounds, from the Random123 library's kat_vectors.
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox(0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(UINT64_MAX, UINT64_MAX, UINT64_MAX),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, IsKnownWhenCompiled) {
  static_assert(philox(0, 0, 0)[0] == 0x6627e8d5);
  static_assert(random_bits(0, 0) == 0xe169c58d6627e8d5);
  static_assert(random_below(1, 7, 9) == 0);
}

// Saved runs go on with these streams: they may never change.
TEST(StreamKey, IsWhatItAlwaysWas) {
  EXPECT_EQ(stream_key(0, ""), 0xc3817c016ba4ff30u);
  EXPECT_EQ(stream_key(1, "data"), 0x1c9ee6863f3540fdu);
  EXPECT_EQ(stream_key(1, "layers.0.mod.router"), 0x4099e4295bcf051bu);
  EXPECT_EQ(stream_key(UINT64_MAX, "\u00e9"), 0x233403617480019eu);
}

TEST(StreamKey, TellsSeedsAndNamesApart) {
  std::set<uint64_t> keys;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    for (int name = 0; name < 100; ++name)
      keys.insert(stream_key(seed, "layers." + std::to_string(name)));
  }
  EXPECT_EQ(keys.size(), 10'000u);
}

// Of 64 bits, each changes with probability 1/2: over n pairs the mean of the changed bits has the
// standard deviation sqrt(64 / 4 / n).
TEST(StreamKey, OneBitOfTheSeedChangesHalfOfTheKey) {
  double changed = 0;
  constexpr int kPairs = 64 * 100;
  for (int bit = 0; bit < 64; ++bit) {
    for (uint64_t seed = 0; seed < 100; ++seed)
      changed +=
          std::popcount(stream_key(seed, "x") ^ stream_key(seed ^ (uint64_t{1} << bit), "x"));
  }
  EXPECT_NEAR(changed / kPairs, 32, 5 * std::sqrt(16.0 / kPairs));
}

constexpr uint64_t kDraws = 1'000'000;
const uint64_t kKey = stream_key(1, "rng_test");

// Chi-square of equally likely cells has the mean cells - 1 and the variance 2 (cells - 1).
void expect_even(const std::vector<double>& counts, const std::string& what) {
  double total = 0, chi = 0;
  for (const double n : counts) total += n;
  const double expected = total / static_cast<double>(counts.size());
  for (const double n : counts) chi += (n - expected) * (n - expected) / expected;
  const double freedom = static_cast<double>(counts.size()) - 1;
  EXPECT_NEAR(chi, freedom, 5 * std::sqrt(2 * freedom)) << what;
}

TEST(RandomUniform, IsEvenInEveryCoordinateOfTheCounter) {
  std::vector<double> low(1000), high(1000), keys(1000);
  double sum = 0, squares = 0, neighbours = 0, before = 0.5;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double u = random_uniform(kKey, i);
    ASSERT_TRUE(u > 0 && u < 1) << i;
    sum += u;
    squares += (u - 0.5) * (u - 0.5);
    neighbours += (u - 0.5) * (before - 0.5);
    before = u;
    ++low[static_cast<size_t>(u * 1000)];
    ++high[static_cast<size_t>(random_uniform(kKey, 5, i) * 1000)];
    ++keys[static_cast<size_t>(random_uniform(i, 5) * 1000)];
  }
  const double n = static_cast<double>(kDraws);
  EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(1 / (12 * n)));
  EXPECT_NEAR(squares / n, 1.0 / 12, 5 * std::sqrt((1.0 / 80 - 1.0 / 144) / n));
  EXPECT_NEAR(neighbours / n, 0, 5 / (12 * std::sqrt(n)));
  expect_even(low, "low");
  expect_even(high, "high");
  expect_even(keys, "key");
}

// Moments of N(0, 1) are 0, 1, 0, 3; the variance of a mean of x^k is (E x^2k - (E x^k)^2) / n. The
// greatest distance of the distribution to Φ is below 2 / sqrt(n) but once in 1,500 (Kolmogorov).
TEST(RandomNormal, HasTheMomentsAndTheDistribution) {
  double moments[5] = {};
  std::vector<double> counts(801);
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double x = random_normal(kKey, i, 3);
    ASSERT_TRUE(std::isfinite(x));
    for (int k = 1; k <= 4; ++k) moments[k] += std::pow(x, k);
    ++counts[static_cast<size_t>(std::clamp((x + 4) * 100, 0.0, 800.0))];
  }
  const double n = static_cast<double>(kDraws);
  EXPECT_NEAR(moments[1] / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(moments[2] / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(moments[3] / n, 0, 5 * std::sqrt(15 / n));
  EXPECT_NEAR(moments[4] / n, 3, 5 * std::sqrt(96 / n));
  double below = 0;
  for (size_t i = 0; i < 800; ++i) {
    below += counts[i];
    const double edge = static_cast<double>(i + 1) / 100 - 4;
    ASSERT_NEAR(below / n, 0.5 * std::erfc(-edge / std::sqrt(2.0)), 2 / std::sqrt(n)) << edge;
  }
}

TEST(RandomNormal, IsBoundedByItsSmallestUniform) {
  // u is at least 2^-53.
  const double largest = std::sqrt(-2 * std::log(0x1p-53));
  for (uint64_t i = 0; i < kDraws; ++i) ASSERT_LE(std::abs(random_normal(kKey, i)), largest);
}

TEST(RandomBelow, IsEvenAndInRange) {
  for (const uint64_t n : {1, 2, 3, 10, 127, 1000}) {
    std::vector<double> counts(n);
    for (uint64_t i = 0; i < 200'000; ++i) {
      const uint64_t value = random_below(n, kKey, i, n);
      ASSERT_LT(value, n);
      ++counts[value];
    }
    if (n > 1) expect_even(counts, std::to_string(n));
  }
  const uint64_t huge = UINT64_MAX;
  double above = 0;
  for (uint64_t i = 0; i < 10'000; ++i) above += random_below(huge, kKey, i) > huge / 2;
  EXPECT_NEAR(above, 5000, 5 * std::sqrt(2500.0));
}

TEST(RandomBits, DependOnKeyAndCounterAlone) {
  std::set<uint64_t> seen;
  for (uint64_t key = 0; key < 20; ++key) {
    for (uint64_t low = 0; low < 20; ++low) {
      for (uint64_t high = 0; high < 20; ++high) {
        EXPECT_EQ(random_bits(key, low, high), random_bits(key, low, high));
        seen.insert(random_bits(key, low, high));
      }
    }
  }
  EXPECT_EQ(seen.size(), 8000u);
}

}  // namespace
}  // namespace pointwork::test
