#include "pointwork/route/affinity.h"

#include <gtest/gtest.h>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

LayerTrace trace(int64_t experts, int64_t top_k, std::vector<int32_t> choice) {
  LayerTrace layer;
  layer.name = "layers.1";
  layer.experts = experts;
  layer.top_k = top_k;
  layer.reached.assign(choice.size() / static_cast<size_t>(top_k), 1);
  layer.choice = std::move(choice);
  return layer;
}

std::vector<int32_t> ids(const ChoiceAffinity& one) {
  std::vector<int32_t> all;
  for (const TokenAffinity& token : one.tokens) all.push_back(token.token);
  return all;
}

TEST(Affinity, LiftIsTheTokensShareOverAllShares) {
  // Token 7: 3 of 4 times expert 0. Token 9: always expert 1. Of 8 choices expert 0 has 3.
  AffinityCounts counts;
  counts.add({7, 7, 7, 7, 9, 9}, trace(2, 1, {0, 0, 0, 1, 1, 1}));
  counts.add({9, 9}, trace(2, 1, {1, 1}));
  const auto all = counts.read({.least = 4});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_DOUBLE_EQ(all[0].share, 3 / 8.0);
  EXPECT_DOUBLE_EQ(all[1].share, 5 / 8.0);
  ASSERT_EQ(ids(all[0]), std::vector<int32_t>{7});
  EXPECT_DOUBLE_EQ(all[0].tokens[0].lift, (3 / 4.0) / (3 / 8.0));
  EXPECT_EQ(all[0].tokens[0].seen, 4);
  // Token 7 chooses expert 1 less often than tokens do on the whole.
  ASSERT_EQ(ids(all[1]), std::vector<int32_t>{9});
  EXPECT_DOUBLE_EQ(all[1].tokens[0].lift, 8 / 5.0);
}

TEST(Affinity, RareTokensCountForTheWholeOnly) {
  AffinityCounts counts;
  counts.add({1, 1, 2, 3, 3}, trace(2, 1, {0, 0, 0, 1, 1}));
  EXPECT_EQ(ids(counts.read({.least = 2})[0]), std::vector<int32_t>{1});
  EXPECT_EQ(ids(counts.read({.least = 1})[0]), (std::vector<int32_t>{1, 2}));
  EXPECT_DOUBLE_EQ(counts.read({.least = 2})[0].share, 3 / 5.0);
}

TEST(Affinity, SeveralChoicesAndNoOps) {
  // Two choices a row of 2 experts and one no-op (2); below 0 there is none.
  AffinityCounts counts;
  counts.add({5, 5, 6, 6}, trace(2, 2, {0, 2, 0, 2, 1, 0, 1, -1}));
  const auto all = counts.read({.least = 1});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(counts.experts(), 2);
  EXPECT_DOUBLE_EQ(all[0].share, 3 / 7.0);
  EXPECT_DOUBLE_EQ(all[2].share, 2 / 7.0);
  EXPECT_EQ(ids(all[2]), std::vector<int32_t>{5});
  EXPECT_DOUBLE_EQ(all[2].tokens[0].lift, (2 / 4.0) / (2 / 7.0));
  EXPECT_EQ(ids(all[1]), std::vector<int32_t>{6});
  EXPECT_EQ(all[1].tokens[0].seen, 2);
}

TEST(Affinity, MostLikedFirstThenFrequentThenLowest) {
  AffinityCounts counts;
  counts.add({4, 3, 3, 2, 1, 1, 8, 8, 8}, trace(2, 1, {0, 0, 0, 0, 0, 1, 1, 1, 1}));
  const auto all = counts.read({.least = 1, .most = 3});
  EXPECT_EQ(ids(all[0]), (std::vector<int32_t>{3, 2, 4}));
  EXPECT_EQ(ids(counts.read({.least = 1, .most = 9})[0]), (std::vector<int32_t>{3, 2, 4}))
      << "half of token 1 is less than the 5 of 9 of all";
}

TEST(Affinity, RowsThatNeverCameAreNobody) {
  AffinityCounts counts;
  LayerTrace layer = trace(2, 1, {-1, 0, 1});
  layer.reached = {0, 1, 1};
  counts.add({1, 1, 2}, layer);
  EXPECT_EQ(counts.read({.least = 1})[0].tokens.at(0).seen, 1);
  EXPECT_TRUE(AffinityCounts().read().empty());
  EXPECT_THROW(counts.add({1}, layer), Error);
}

}  // namespace
}  // namespace pointwork
