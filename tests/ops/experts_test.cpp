#include "pointwork/ops/experts.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "pointwork/kernels/reference.h"
#include "pointwork/ops/device.h"
#include "tests/kernels/experts_cases.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

namespace reference = kernels::reference;

template <class Made>
Made by_composite(const std::function<Made()>& make) {
  const CompositeGuard composite;
  return make();
}

Tensor flags(const std::vector<uint8_t>& values, at::IntArrayRef sizes) {
  return torch::tensor(std::vector<int>(values.begin(), values.end())).to(torch::kBool).view(sizes);
}

TEST(HighestColumns, KernelAndCompositeEqualReference) {
  for (const ColumnsCase& c : columns_cases()) {
    if (c.rows > 129) continue;
    const Tensor score = torch::tensor(c.score).view({c.rows, c.columns});
    const Tensor valid = c.valid.empty() ? Tensor() : flags(c.valid, {c.rows});
    const auto run = [&] { return highest_columns(score, c.k, valid); };
    const auto want = reference::highest_columns(widened(c.score), c.columns, c.k, c.valid);
    const Tensor got = run();
    ASSERT_EQ(elements<int32_t>(got), want) << c.name;
    ASSERT_TRUE(same_bits(by_composite<Tensor>(run), got)) << c.name;
  }
}

TEST(HighestColumns, OtherTypesAndStridesAreRankedInFloat32) {
  const Tensor wide = torch::tensor({1.0, 1.0 + 1e-12, 0.5, 2.0}, torch::kFloat64).view({2, 2});
  const Tensor turned = normal({5, 9}, 1, torch::kFloat32).t();
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    EXPECT_EQ(elements<int32_t>(highest_columns(wide, 1, {})), (std::vector<int32_t>{0, 1}));
    EXPECT_TRUE(
        same_bits(highest_columns(turned, 3, {}), highest_columns(turned.contiguous(), 3, {})));
    EXPECT_EQ(highest_columns(torch::empty({0, 4}), 2, {}).sizes(), at::IntArrayRef({0, 2}));
  }
}

TEST(KeepPairs, KernelAndCompositeEqualReferenceInBothPriorities) {
  for (const PairsCase& c : pairs_cases()) {
    if (c.shape.rows > 129) continue;
    const std::vector<int64_t> sizes = {c.shape.rows, c.shape.k};
    const Tensor choice = ints(c.choice).view(sizes);
    for (const bool weighs : {false, true}) {
      const Tensor weight = weighs ? torch::tensor(c.weight).view(sizes) : Tensor();
      const auto run = [&] {
        return keep_pairs(choice, weight,
                          {.experts = c.shape.experts,
                           .group = c.shape.group == c.shape.rows ? 0 : c.shape.group,
                           .capacity = c.shape.capacity});
      };
      const Tensor got = run();
      ASSERT_EQ(bools(got),
                reference::keep_pairs(c.choice, weighs ? widened(c.weight) : std::vector<double>(),
                                      c.shape))
          << c.name;
      ASSERT_TRUE(same_bits(by_composite<Tensor>(run), got)) << c.name << ", " << weighs;
    }
  }
}

TEST(SortPairs, KernelAndCompositeEqualReference) {
  for (const PairsCase& c : pairs_cases()) {
    if (c.shape.rows > 129) continue;
    const std::vector<int64_t> sizes = {c.shape.rows, c.shape.k};
    const auto pairs = static_cast<int64_t>(c.choice.size());
    const Tensor choice = ints(c.choice).view(sizes);
    const auto room = reference::keep_pairs(c.choice, {}, c.shape);
    for (const bool all : {true, false}) {
      const std::vector<uint8_t> kept = all ? std::vector<uint8_t>() : room;
      const auto most = reference::sort_pairs(c.choice, kept, c.shape.experts, pairs);
      for (const int64_t slots : {pairs, int64_t{most.offset.back()}, pairs + 3}) {
        const auto run = [&] {
          return sort_pairs(choice, all ? Tensor() : flags(kept, sizes), c.shape.experts, slots);
        };
        const auto want = reference::sort_pairs(c.choice, kept, c.shape.experts, slots);
        const auto [pair, offset] = run();
        const auto composite = by_composite<std::pair<Tensor, Tensor>>(run);
        ASSERT_EQ(elements<int32_t>(pair), want.pair) << c.name;
        ASSERT_EQ(elements<int32_t>(offset), want.offset) << c.name;
        ASSERT_TRUE(same_bits(composite.first, pair)) << c.name;
        ASSERT_TRUE(same_bits(composite.second, offset)) << c.name;
      }
    }
  }
}

// Any numbers at all as choices: twice the same expert, no-ops of any number, below -1.
TEST(Pairs, KernelEqualsCompositeOnAnyIntegers) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const auto draw = [&](uint64_t at, uint64_t below) {
      return static_cast<int64_t>(random_below(below, seed, at, 1));
    };
    const int64_t rows = draw(0, 40), k = 1 + draw(1, 4), experts = 1 + draw(2, 6);
    const int64_t choices = experts + draw(3, 3);
    std::vector<int32_t> values;
    for (int64_t p = 0; p < rows * k; ++p)
      values.push_back(static_cast<int32_t>(draw(static_cast<uint64_t>(10 + p),
                                                 static_cast<uint64_t>(choices) + 2)) -
                       2);
    const Tensor choice = ints(values).view({rows, k});
    const Tensor weight =
        draw(4, 2) ? normal({rows, k}, seed, torch::kFloat32).mul(2).round() : Tensor();
    const KeepOptions options{.experts = experts, .group = draw(5, 12), .capacity = draw(6, 8)};
    const Tensor kept = keep_pairs(choice, weight, options);
    const auto [pair, offset] = sort_pairs(choice, kept, experts, rows * k);
    const CompositeGuard composite;
    ASSERT_TRUE(same_bits(keep_pairs(choice, weight, options), kept)) << seed;
    const auto [same_pair, same_offset] = sort_pairs(choice, kept, experts, rows * k);
    ASSERT_TRUE(same_bits(same_pair, pair)) << seed;
    ASSERT_TRUE(same_bits(same_offset, offset)) << seed;
  }
}

TEST(HighestColumns, WrongShapesAreNamed) {
  const Tensor score = normal({3, 4}, 1, torch::kFloat32);
  EXPECT_EQ(error_of([&] { highest_columns(score.flatten(), 1, {}); }),
            "[highest_columns] scores must be [T, M] but have shape [12]");
  EXPECT_EQ(error_of([&] { highest_columns(score, 5, {}); }),
            "[highest_columns] 5 asked of 4 columns");
  EXPECT_EQ(error_of([&] { highest_columns(score, 0, {}); }),
            "[highest_columns] 0 asked of 4 columns");
  EXPECT_EQ(error_of([&] { highest_columns(score, 1, torch::ones({4}, torch::kBool)); }),
            "[highest_columns] valid must be [3] but has shape [4]");
}

TEST(KeepPairs, WrongShapesAreNamed) {
  const Tensor choice = ints({0, 1, 2, 3});
  const KeepOptions options{.experts = 2, .group = 0, .capacity = 1};
  EXPECT_EQ(error_of([&] { keep_pairs(choice, {}, options); }),
            "[keep_pairs] choices must be int32 [T, k] but are Int [4]");
  EXPECT_EQ(error_of([&] {
              keep_pairs(choice.view({2, 2}).to(torch::kInt64), {}, options);
            }),
            "[keep_pairs] choices must be int32 [T, k] but are Long [2, 2]");
  EXPECT_EQ(error_of([&] {
              keep_pairs(choice.view({2, 2}), torch::ones({4}), options);
            }),
            "[keep_pairs] weights must be [2, 2] but have shape [4]");
  EXPECT_EQ(error_of([&] {
              keep_pairs(choice.view({2, 2}), {}, {.experts = 2, .group = -1, .capacity = 3});
            }),
            "[keep_pairs] no such capacity: 2 experts, groups of -1 rows, 3 slots");
}

TEST(SortPairs, WrongShapesAndTooFewSlotsAreNamed) {
  const Tensor choice = ints({0, 1, 1, 5}).view({2, 2});
  EXPECT_EQ(error_of([&] { sort_pairs(choice, torch::ones({4}, torch::kBool), 2, 4); }),
            "[sort_pairs] kept must be [2, 2] but has shape [4]");
  EXPECT_EQ(error_of([&] { sort_pairs(choice, {}, 0, 4); }),
            "[sort_pairs] no such order: 0 experts, 4 slots");
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    EXPECT_EQ(error_of([&] { sort_pairs(choice, {}, 2, 2); }), "[sort_pairs] 3 pairs have 2 slots");
    EXPECT_EQ(error_of([&] { sort_pairs(choice, {}, 2, 3); }), "");
  }
}

}  // namespace
}  // namespace pointwork::test
