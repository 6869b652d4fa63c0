#include "pointwork/ops/random.h"

#include <gtest/gtest.h>

#include <limits>

#include "pointwork/ops/device.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

Tensor longs(const std::vector<int64_t>& values) { return torch::tensor(values, torch::kInt64); }

// A chance of e^−20, 2e-9, that a bound below is broken by true random numbers.
constexpr double kRare = 20;

// χ² of `bins` counts against even ones within the bounds of Laurent and Massart (Ann. Stat. 2000,
// lemma 1): P(χ² − d ≥ 2√(dx) + 2x) ≤ e^−x, P(d − χ² ≥ 2√(dx)) ≤ e^−x.
void expect_even(const std::string& what, const Tensor& uniform, int64_t bins) {
  const Tensor bin = uniform.flatten().to(torch::kFloat64).mul(bins).floor().to(torch::kInt64);
  const Tensor count = torch::bincount(bin, {}, bins).to(torch::kFloat64);
  ASSERT_EQ(count.size(0), bins) << what;
  const double each = static_cast<double>(uniform.numel()) / static_cast<double>(bins);
  const double chi = (count - each).square().sum().item<double>() / each;
  const double d = static_cast<double>(bins - 1), spread = 2 * std::sqrt(d * kRare);
  EXPECT_LE(chi - d, spread + 2 * kRare) << what;
  EXPECT_LE(d - chi, spread) << what;
}

// Hoeffding: (u − ½)(v − ½) lies in ±¼, so P(|mean| ≥ t) ≤ 2 e^(−8nt²).
void expect_unrelated(const std::string& what, const Tensor& u, const Tensor& v) {
  const double mean =
      ((u.to(torch::kFloat64) - 0.5) * (v.to(torch::kFloat64) - 0.5)).mean().item<double>();
  EXPECT_LE(std::abs(mean), std::sqrt(kRare / (8 * static_cast<double>(u.numel())))) << what;
}

TEST(RandomRows, AreUniformAndUnrelatedAlongEveryArgument) {
  const int64_t rows = 1024, width = 256;
  const Tensor position = torch::arange(rows, torch::kInt32);
  const Tensor sequence = torch::zeros({rows}, torch::kInt32);
  const Tensor u = random_rows(1, position, sequence, longs({0}), width);
  EXPECT_EQ(u.scalar_type(), torch::kFloat32);
  EXPECT_GT(u.min().item<float>(), 0);
  EXPECT_LT(u.max().item<float>(), 1);
  expect_even("bins", u, 256);
  expect_even("fine bins", u, 1 << 14);
  // The lowest of the 23 bits as well: what is left of a multiple of 2^−15.
  const Tensor low = u.to(torch::kFloat64) * 0x1p15;
  expect_even("low bits", low - low.floor(), 256);
  for (int64_t word = 0; word < 4; ++word)
    expect_even("word " + std::to_string(word), u.slice(1, word, width, 4), 64);
  expect_unrelated("columns", u.slice(1, 0, width - 1), u.slice(1, 1));
  expect_unrelated("blocks", u.slice(1, 0, width - 4), u.slice(1, 4));
  expect_unrelated("positions", u.slice(0, 0, rows - 1), u.slice(0, 1));
  expect_unrelated("keys", u, random_rows(2, position, sequence, longs({0}), width));
  expect_unrelated("sequences", u, random_rows(1, position, sequence, longs({1}), width));
}

TEST(RandomRows, AreAPureFunctionOfWhatARowIs) {
  const Tensor position = ints({7, 0, 3, 7}), sequence = ints({1, 0, 1, 1});
  const Tensor u = random_rows(5, position, sequence, longs({40, -9}), 11);
  EXPECT_TRUE(same_bits(u, random_rows(5, position, sequence, longs({40, -9}), 11)));
  EXPECT_TRUE(same_bits(u[0], u[3]));
  EXPECT_FALSE(same_bits(u[0], u[2]));
  // Neither on the other rows, nor on the sequence's place in the batch, nor on the width.
  EXPECT_TRUE(same_bits(u[2], random_rows(5, ints({3}), ints({0}), longs({-9}), 11)[0]));
  EXPECT_TRUE(same_bits(u.slice(1, 0, 6),
                        random_rows(5, position, sequence, longs({40, -9}), 6).contiguous()));
  EXPECT_FALSE(same_bits(u, random_rows(6, position, sequence, longs({40, -9}), 11)));
  EXPECT_FALSE(same_bits(u, random_rows(5, position, sequence, longs({41, -8}), 11)));
  // A row may begin at any block of columns.
  const Tensor late = random_rows(5, position, sequence, longs({40, -9}), 3, ints({8, 8, 8, 4}));
  EXPECT_TRUE(same_bits(late.slice(0, 0, 3), u.slice(0, 0, 3).slice(1, 8, 11)));
  EXPECT_TRUE(same_bits(late[3], u[3].slice(0, 4, 7)));
}

TEST(RandomRows, KernelEqualsCompositeToTheLastBit) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const auto draw = [&](uint64_t at, uint64_t below) {
      return static_cast<int64_t>(random_below(below, seed, at, 1));
    };
    const int64_t rows = draw(0, 20), width = draw(1, 150);
    std::vector<int32_t> position, sequence, first;
    for (int64_t t = 0; t < rows; ++t) {
      const auto at = static_cast<uint64_t>(10 + 3 * t);
      position.push_back(static_cast<int32_t>(draw(at, uint64_t{1} << 31)));
      sequence.push_back(static_cast<int32_t>(draw(at + 1, 3)));
      first.push_back(static_cast<int32_t>(4 * draw(at + 2, 1 << 20)));
    }
    const Tensor keys = longs(
        {static_cast<int64_t>(random_bits(seed, 3)), -1, std::numeric_limits<int64_t>::min()});
    const Tensor shift = seed % 2 ? ints(first) : Tensor();
    const auto run = [&] {
      return random_rows(random_bits(seed, 4), ints(position), ints(sequence), keys, width, shift);
    };
    const Tensor got = run();
    ASSERT_EQ(got.sizes(), at::IntArrayRef({rows, width}));
    const CompositeGuard composite;
    ASSERT_TRUE(same_bits(run(), got)) << seed;
  }
}

TEST(RandomRows, DependOnNoThreadCount) {
  const Tensor position = torch::arange(5000, torch::kInt32);
  const auto run = [&](int count) {
    const Threads threads(count);
    return random_rows(3, position, torch::zeros_like(position), longs({12}), 70);
  };
  EXPECT_TRUE(same_bits(run(1), run(3)));
}

TEST(RandomRows, WrongArgumentsAreNamed) {
  const Tensor at = ints({0, 1}), keys = longs({5});
  const auto error = [&](const Tensor& position, const Tensor& sequence, const Tensor& key,
                         const Tensor& first) {
    return error_of([&] { random_rows(1, position, sequence, key, 4, first); });
  };
  EXPECT_EQ(error(at.view({1, 2}), at, keys, {}),
            "[random_rows] positions must be [T] but have shape [1, 2]");
  EXPECT_EQ(error(at, ints({0}), keys, {}),
            "[random_rows] sequence must be int32 [2] but is Int [1]");
  EXPECT_EQ(error(at, at, keys, {}), "[random_rows] sequences must be 0 .. 0 but are 0 .. 1");
  EXPECT_EQ(error(at, ints({0, 0}), keys.to(torch::kInt32), {}),
            "[random_rows] sequence keys must be int64 [B] on the CPU but are Int [1]");
  EXPECT_EQ(error(at, ints({0, 0}), keys, ints({4, 6})),
            "[random_rows] first columns must be multiples of 4");
  EXPECT_EQ(error(at, ints({0, 0}), keys, ints({4, 8})), "");
}

}  // namespace
}  // namespace pointwork::test
