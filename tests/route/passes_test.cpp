#include "pointwork/route/passes.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pointwork {
namespace {

LayerTrace part(const std::string& name, std::vector<uint8_t> entered,
                std::vector<int32_t> choice) {
  LayerTrace layer;
  layer.name = name;
  layer.capacity = 0.5;
  layer.reached.assign(entered.size(), 1);
  layer.weight.assign(entered.size(), 0.25f);
  layer.decision.assign(entered.size(), std::nanf(""));
  layer.top_k = static_cast<int64_t>(choice.size() / entered.size());
  layer.experts = layer.top_k > 0 ? 4 : 0;
  layer.entered = std::move(entered);
  layer.choice = std::move(choice);
  return layer;
}

TEST(Passes, AreJoinedRowAfterRow) {
  const auto all = join_passes({{part("a", {1, 0}, {}), part("b", {1, 1}, {0, 1, 2, 3})},
                                {part("a", {1}, {}), part("b", {0}, {4, 5})}});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].entered, (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_TRUE(all[0].choice.empty());
  EXPECT_EQ(all[1].choice, (std::vector<int32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(all[1].experts, 4);
  EXPECT_EQ(all[1].capacity, 0.5);
}

TEST(Passes, ALayerThatNoRowCameToIsFilledUp) {
  const auto all = join_passes({{part("outer", {0}, {})},
                                {part("outer", {1, 1}, {}), part("inner", {1, 1}, {3, 2})},
                                {part("outer", {0}, {})}});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].name, "inner");
  EXPECT_EQ(all[1].reached, (std::vector<uint8_t>{0, 1, 1, 0}));
  EXPECT_EQ(all[1].entered, all[1].reached);
  EXPECT_EQ(all[1].choice, (std::vector<int32_t>{-1, 3, 2, -1}));
  EXPECT_TRUE(std::isnan(all[1].weight[0]));
  EXPECT_EQ(all[1].weight[1], 0.25f);
  EXPECT_EQ(all[1].decision.size(), 4u);
  EXPECT_TRUE(join_passes({}).empty());
}

}  // namespace
}  // namespace pointwork
