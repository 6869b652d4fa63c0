// In which rows experts have slots.

#include <gtest/gtest.h>

#include <utility>

#include "pointwork/route/token_choice.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

TEST(CapacityGroups, AreRunsOfRowsOrSequences) {
  const Rows rows = uniform_rows(4, 32, torch::kCPU);
  const auto of = [&](const TokenChoiceConfig& config) {
    const CapacityGroups groups = capacity_groups("moe", config, 1.25, rows);
    return std::pair(groups.rows, groups.capacity);
  };
  using Pair = std::pair<int64_t, int64_t>;
  TokenChoiceConfig config{.num_experts = 8, .group_size = 48};
  EXPECT_EQ(of(config), Pair(48, 7));  // 48, 48, 32: the capacity of a full one
  // One expert has a share of each sequence.
  EXPECT_EQ(of({.num_experts = 1, .num_noop = 7, .group_size = 48}), Pair(32, 5));
  config.group_size = 1024;
  EXPECT_EQ(of(config), Pair(0, 20));  // fewer rows than a group: of all rows
  config.group_size = 128;
  EXPECT_EQ(of(config), Pair(0, 20));
  config.group_size = 0;
  EXPECT_EQ(of(config), Pair(0, 20));
  config.capacity_per_sequence = 3;
  EXPECT_EQ(of(config), Pair(32, 3));
  EXPECT_EQ(of({.num_experts = 1, .num_noop = 7, .capacity_per_sequence = 3}), Pair(32, 3));
  config.capacity_per_sequence = 64;  // Hugging Face's, in sequences below it: drops nothing
  EXPECT_EQ(of(config), Pair(32, 32));
  config = {.num_experts = 8, .dropless = true, .group_size = 48};
  EXPECT_EQ(of(config), Pair(48, 0));
}

TEST(CapacityGroups, RaggedSequencesAndACapacityOfNothingAreRefused) {
  Rows rows = uniform_rows(2, 4, torch::kCPU);
  const TokenChoiceConfig narrow{.num_experts = 16, .group_size = 8, .min_capacity = 0};
  EXPECT_EQ(error_of([&] { capacity_groups("layers.1", narrow, 1, rows); }),
            "[layers.1] experts have a capacity of 0: a factor of 1 in groups of 8 rows, and a "
            "min_capacity of 0");
  rows.each = 0;
  rows.start = ints({0, 3, 8});
  const TokenChoiceConfig config{.num_experts = 2};
  EXPECT_EQ(error_of([&] { capacity_groups("layers.1", {.num_experts = 1}, 1, rows); }),
            "[layers.1] a capacity in each sequence needs sequences of equal length");
  EXPECT_EQ(error_of([&] {
              capacity_groups("layers.1", {.num_experts = 2, .capacity_per_sequence = 3}, 1, rows);
            }),
            "[layers.1] a capacity in each sequence needs sequences of equal length");
  EXPECT_EQ(capacity_groups("layers.1", config, 1, rows).capacity, 4);
}

}  // namespace
}  // namespace pointwork::test
