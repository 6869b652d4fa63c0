// How many slots experts have, and in which rows.

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "pointwork/route/token_choice.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

using Rounding = CapacityRounding;

TEST(ExpertCapacity, IsWhatTheTablesOfTheSourcesSay) {
  struct Line {
    int64_t experts, noop, k;
    double factor;
    int64_t group, least, floor, round, ceil;
  };
  for (const Line& line : std::vector<Line>{
           {8, 0, 1, 1.25, 1024, 4, 160, 160, 160},  // Mesh TensorFlow's group
           {128, 0, 1, 1.25, 1024, 4, 10, 10, 10},
           {128, 0, 1, 2.0, 1024, 4, 16, 16, 16},     // in evaluation
           {128, 0, 1, 1.25, 8192, 4, 80, 80, 80},    // Switch-Base
           {128, 0, 1, 4.0, 4096, 2, 128, 128, 128},  // Switch-XXL, evaluation
           {2048, 0, 1, 1.0, 2048, 2, 2, 2, 2},       // Switch-C
           {48, 0, 1, 1.25, 1024, 4, 26, 27, 27},     // 26.67
           {8, 0, 1, 1.0, 100, 4, 12, 13, 13},        // 12.5
           {7, 0, 1, 1.0, 100, 4, 14, 14, 15},        // 14.29
           {8, 0, 2, 1.25, 64, 4, 20, 20, 20},
           {6, 2, 2, 1.25, 64, 4, 20, 20, 20},    // no-ops have their share
           {1024, 0, 1, 1.25, 1024, 4, 4, 4, 4},  // min_capacity
           {1024, 0, 1, 1.25, 1024, 0, 1, 1, 2},
           {1024, 0, 1, 0.25, 1024, 0, 0, 0, 1},
           {8, 0, 1, 1.25, 3, 4, 3, 3, 3},  // never above the group
           {2, 0, 2, 100, 10, 4, 10, 10, 10},
           {1, 0, 1, 1e300, 10, 0, 10, 10, 10},
           {8, 0, 1, 1.1, 80, 0, 11, 11, 11},    // in float64 1.1 · 80 is above 88
           {1, 0, 1, 0.29, 100, 0, 29, 29, 29},  // and 0.29 · 100 below 29
       }) {
    TokenChoiceConfig config{.num_experts = line.experts,
                             .num_noop = line.noop,
                             .top_k = line.k,
                             .min_capacity = line.least};
    for (const auto& [rounding, want] :
         {std::pair(Rounding::floor, line.floor), std::pair(Rounding::round, line.round),
          std::pair(Rounding::ceil, line.ceil)}) {
      config.capacity_rounding = rounding;
      EXPECT_EQ(expert_capacity(config, line.factor, line.group), want)
          << line.experts << " experts, " << line.group << " rows, " << static_cast<int>(rounding);
    }
  }
}

TEST(ExpertCapacity, OfAHeldNumberOfActiveExpertsIsShareOfThose) {
  const TokenChoiceConfig config{
      .num_experts = 4, .num_noop = 4, .top_k = 2, .min_capacity = 0, .target_active = 0.5};
  EXPECT_EQ(expert_capacity(config, 1.25, 64), 10);  // 1.25 · 0.5 · 64 / 4
}

TEST(CapacityGroups, AreRunsOfRowsOrSequences) {
  const Rows rows = uniform_rows(4, 32, torch::kCPU);
  const auto of = [&](const TokenChoiceConfig& config, bool by_sequence) {
    const CapacityGroups groups = capacity_groups("moe", config, 1.25, rows, by_sequence);
    return std::pair(groups.rows, groups.capacity);
  };
  using Pair = std::pair<int64_t, int64_t>;
  TokenChoiceConfig config{.num_experts = 8, .group_size = 48};
  EXPECT_EQ(of(config, false), Pair(48, 7));  // 48, 48, 32: the capacity of a full one
  EXPECT_EQ(of(config, true), Pair(32, 5));
  config.group_size = 1024;
  EXPECT_EQ(of(config, false), Pair(0, 20));  // fewer rows than a group: of all rows
  config.group_size = 128;
  EXPECT_EQ(of(config, false), Pair(0, 20));
  config.group_size = 0;
  EXPECT_EQ(of(config, false), Pair(0, 20));
  config.capacity_per_sequence = 3;
  EXPECT_EQ(of(config, false), Pair(32, 3));
  EXPECT_EQ(of(config, true), Pair(32, 3));
  config.capacity_per_sequence = 64;  // Hugging Face's, in sequences below it: drops nothing
  EXPECT_EQ(of(config, false), Pair(32, 32));
  config = {.num_experts = 8, .dropless = true, .group_size = 48};
  EXPECT_EQ(of(config, false), Pair(48, 0));
}

TEST(CapacityGroups, RaggedSequencesAndACapacityOfNothingAreRefused) {
  Rows rows = uniform_rows(2, 4, torch::kCPU);
  const TokenChoiceConfig narrow{.num_experts = 16, .group_size = 8, .min_capacity = 0};
  EXPECT_EQ(error_of([&] { capacity_groups("layers.1", narrow, 1, rows, false); }),
            "[layers.1] experts have a capacity of 0: a factor of 1 in groups of 8 rows, and a "
            "min_capacity of 0");
  rows.each = 0;
  rows.start = ints({0, 3, 8});
  const TokenChoiceConfig config{.num_experts = 2};
  EXPECT_EQ(error_of([&] { capacity_groups("layers.1", config, 1, rows, true); }),
            "[layers.1] a capacity in each sequence needs sequences of equal length");
  EXPECT_EQ(error_of([&] {
              capacity_groups("layers.1", {.num_experts = 2, .capacity_per_sequence = 3}, 1, rows,
                              false);
            }),
            "[layers.1] a capacity in each sequence needs sequences of equal length");
  EXPECT_EQ(capacity_groups("layers.1", config, 1, rows, false).capacity, 4);
}

}  // namespace
}  // namespace pointwork::test
