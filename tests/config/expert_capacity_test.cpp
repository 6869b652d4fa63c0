// How many slots experts have.

#include "pointwork/config/expert_capacity.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

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

}  // namespace
}  // namespace pointwork::test
