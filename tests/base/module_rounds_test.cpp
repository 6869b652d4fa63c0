// Counts of what tokens choose round by round, against what can be counted by hand.

#include "pointwork/base/module_rounds.h"

#include <gtest/gtest.h>

namespace pointwork::test {
namespace {

using Numbers = std::vector<double>;
using Choice = std::vector<int32_t>;

std::vector<ModuleRounds> counted(const std::vector<std::vector<RoundChoices>>& passes,
                                  size_t most = 12) {
  ModuleCounts counts;
  for (const std::vector<RoundChoices>& pass : passes) counts.add(pass);
  return counts.read(most);
}

TEST(ModuleRounds, NamesCarryTheirRound) {
  EXPECT_EQ(round_name("layers.1.body.mha").branch, "layers.1.body.mha");
  EXPECT_EQ(round_name("layers.1.body.mha").round, 0u);
  EXPECT_EQ(round_name("layers.1.body.mha#12").branch, "layers.1.body.mha");
  EXPECT_EQ(round_name("layers.1.body.mha#12").round, 12u);
}

// Two modules and SKIP over three rounds; of four tokens two go 0, 1, SKIP, one stays at 1, one
// skips first.
TEST(ModuleRounds, SharesFlowsAndPathsOfFourTokens) {
  const auto all = counted({{{"mha", 2, 1, {0, 0, 1, 2}},
                             {"mha#1", 2, 1, {1, 1, 1, 0}},
                             {"mha#2", 2, 1, {2, 2, 1, 0}}}});
  ASSERT_EQ(all.size(), 1u);
  const ModuleRounds& one = all[0];
  EXPECT_EQ(one.name, "mha");
  EXPECT_EQ(one.rounds, 3u);
  EXPECT_EQ(one.share, (Numbers{0.5, 0.25, 0.25, 0.25, 0.75, 0, 0.25, 0.25, 0.5}));
  EXPECT_EQ(one.next, (Numbers{0, 0.5, 0, 0, 0.25, 0, 0.25, 0, 0,  // round 0 to 1
                               0.25, 0, 0, 0, 0.25, 0.5, 0, 0, 0}));
  EXPECT_EQ(one.flow(1, 1, 2), 0.5);
  EXPECT_EQ(one.share_of(1, 0), 0.25);
  EXPECT_EQ(one.skipped(), 0.25);
  EXPECT_EQ(one.distinct_paths, 3);
  ASSERT_EQ(one.paths.size(), 3u);
  EXPECT_EQ(one.paths[0].choice, (Choice{0, 1, 2}));
  EXPECT_EQ(one.paths[0].share, 0.5);
  EXPECT_EQ(one.paths[1].choice, (Choice{1, 1, 1}));
  EXPECT_EQ(one.paths[2].choice, (Choice{2, 0, 0}));
}

TEST(ModuleRounds, SeveralChoicesCountWithTheirParts) {
  // 1 and 0; SKIP twice, by either no-op; 0 and then alone 1.
  const auto all =
      counted({{{"ffn", 2, 2, {1, 0, 3, 2, 0, -1}}, {"ffn#1", 2, 2, {1, 0, 1, 2, 1, -1}}}});
  ASSERT_EQ(all.size(), 1u);
  const double third = 1.0 / 3, half = 0.5 / 3, quarter = 0.25 / 3;
  const Numbers share = {half + third, half, third, half, half + half + third, half};
  const Numbers next = {quarter, quarter + third, 0, quarter, quarter, 0, 0, half, half};
  ASSERT_EQ(all[0].share.size(), share.size());
  ASSERT_EQ(all[0].next.size(), next.size());
  for (size_t i = 0; i < share.size(); ++i) EXPECT_NEAR(all[0].share[i], share[i], 1e-15) << i;
  for (size_t i = 0; i < next.size(); ++i) EXPECT_NEAR(all[0].next[i], next[i], 1e-15) << i;
  EXPECT_EQ(all[0].distinct_paths, 3);
  EXPECT_EQ(all[0].paths[0].choice, (Choice{0, -1, 1, -1}));
  EXPECT_EQ(all[0].paths[1].choice, (Choice{0, 1, 0, 1}));
  EXPECT_EQ(all[0].paths[2].choice, (Choice{2, 2, 1, 2}));
}

TEST(ModuleRounds, OnlyTokensThatCameCount) {
  // The second token stands before no round, the third before the last alone; nobody before #1.
  const auto all = counted({{{"mha", 1, 1, {0, -1, -1}}, {"mha#2", 1, 1, {1, -1, 0}}}});
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].rounds, 3u);
  EXPECT_EQ(all[0].share, (Numbers{0.5, 0, 0, 0, 0.5, 0.5}));
  EXPECT_EQ(all[0].next, Numbers(8, 0.0)) << "from a round to the next but one is no step";
  EXPECT_EQ(all[0].paths[0].choice, (Choice{-1, -1, 0}));
  EXPECT_EQ(all[0].paths[1].choice, (Choice{0, -1, 1}));
  EXPECT_TRUE(counted({{{"mha", 1, 1, {-1}}, {"mha#1", 1, 1, {-1}}}}).empty());
}

TEST(ModuleRounds, BranchesOutsideARepeatAreNoneOfIt) {
  const auto all = counted({{{"layers.0", 4, 1, {3}},
                             {"layers.1.mha", 2, 1, {0}},
                             {"layers.1.ffn", 3, 1, {1}},
                             {"layers.1.mha#1", 2, 1, {0}},
                             {"layers.1.ffn#1", 3, 1, {3}}}});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "layers.1.mha");
  EXPECT_EQ(all[1].name, "layers.1.ffn");
  EXPECT_EQ(all[1].share, (Numbers{0, 1, 0, 0, 0, 0, 0, 1}));
}

// A pass in which no row came to the last round is shorter, its paths are the same.
TEST(ModuleRounds, PassesAddUp) {
  const std::vector<RoundChoices> longer = {{"mha", 1, 1, {0, 0}},
                                            {"mha#1", 1, 1, {1, 1}},
                                            {"mha#2", 1, 1, {0, -1}}},
                                  shorter = {{"mha", 1, 1, {0, 1}}, {"mha#1", 1, 1, {1, 1}}};
  for (const auto& passes : {std::vector{longer, shorter}, std::vector{shorter, longer}}) {
    const auto all = counted(passes, 2);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].share, (Numbers{0.75, 0.25, 0, 1, 0.25, 0}));
    EXPECT_EQ(all[0].next, (Numbers{0, 0.75, 0, 0.25, 0, 0, 0.25, 0}));
    EXPECT_EQ(all[0].distinct_paths, 3);
    ASSERT_EQ(all[0].paths.size(), 2u) << "the most frequent only";
    EXPECT_EQ(all[0].paths[0].choice, (Choice{0, 1, -1}));
    EXPECT_EQ(all[0].paths[0].share, 0.5);
  }
}

}  // namespace
}  // namespace pointwork::test
