// What is made of Routes afterwards: losses, sums and traces.
#include "pointwork/route/stats.h"

#include <gtest/gtest.h>

#include "pointwork/route/choice.h"
#include "pointwork/route/losses.h"
#include "pointwork/route/trace.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

// A route by score in training, with a decision beside it.
Route route_of(const std::string& name, const Tensor& score, const Tensor& decision,
               const Rows& rows, double capacity) {
  Route route = choose_top(name, score, rows, capacity);
  route.name = name;
  route.logits = score;
  route.decision = decision;
  route.capacity = capacity;
  route.weight = score.index_select(0, route.token.clamp_min(0).to(torch::kInt64));
  return route;
}

Rows rows_of(int64_t sequences, int64_t length, bool padded) {
  Rows rows = uniform_rows(sequences, length, torch::kCPU);
  if (padded) rows.valid = rows.position.lt(rows.sequence * 3 + 2);
  return rows;
}

TEST(DecisionLoss, IsTheMeanBinaryCrossEntropyOverValidRows) {
  for (const bool padded : {false, true}) {
    for (const torch::Dtype dtype : {torch::kFloat32, torch::kFloat64}) {
      const Rows rows = rows_of(3, 10, padded);
      const Tensor decision = normal({30}, 2, dtype, 3).set_requires_grad(true);
      const Route route = route_of("r", normal({30}, 1, torch::kFloat32), decision, rows, 0.3);
      const auto chosen = bools(chosen_rows(route));
      double sum = 0, count = 0;
      std::vector<double> slope(30, 0);
      for (int64_t t = 0; t < 30; ++t) {
        if (padded && !rows.valid[t].item<bool>()) continue;
        const double z = decision[t].item<double>(), y = chosen[t];
        sum += std::log1p(std::exp(-std::abs(z))) + std::max(z, 0.0) - y * z;
        slope[t] = 1 / (1 + std::exp(-z)) - y;
        ++count;
      }
      const Tensor loss = decision_loss(route);
      loss.backward();
      const double bound = dtype == torch::kFloat64 ? 0x1p-45 : 0x1p-19;  // 30 terms, up to 10
      EXPECT_NEAR(loss.item<double>(), sum / count, bound);
      EXPECT_EQ(loss.scalar_type(), dtype);
      for (int64_t t = 0; t < 30; ++t)
        EXPECT_NEAR(decision.grad()[t].item<double>(), slope[t] / count, bound) << t;
      // The chosen are those that stand in a slot.
      int64_t filled = 0;
      for (const int32_t row : elements<int32_t>(route.token)) {
        if (row < 0) continue;
        EXPECT_TRUE(chosen[row]);
        ++filled;
      }
      EXPECT_EQ(std::count(chosen.begin(), chosen.end(), 1), filled);
    }
  }
}

TEST(DecisionLoss, WithoutValidRowsIsZero) {
  Rows rows = rows_of(2, 4, false);
  rows.valid = torch::zeros({8}, torch::kBool);
  const Tensor decision = normal({8}, 2, torch::kFloat32).set_requires_grad(true);
  const Tensor loss =
      decision_loss(route_of("r", normal({8}, 1, torch::kFloat32), decision, rows, 0.5));
  loss.backward();
  EXPECT_EQ(loss.item<float>(), 0);
  EXPECT_EQ(largest(decision.grad()), 0);
}

// Counted row by row.
struct Counted {
  double rows = 0, chosen = 0, sum = 0, squares = 0, hits = 0, decided = 0, agreed = 0;

  void add(const Route& route) {
    const auto entered = bools(chosen_rows(route));
    for (size_t t = 0; t < entered.size(); ++t) {
      const auto at = static_cast<int64_t>(t);
      if (route.valid.defined() && !route.valid[at].item<bool>()) continue;
      const double score = route.logits[at].item<double>();
      const bool in = entered[t];
      const bool says = route.capacity >= 1 ? in : route.decision[at].item<double>() > 0;
      rows += 1, chosen += in, sum += score, squares += score * score;
      hits += in && says, decided += says, agreed += in == says;
    }
  }

  void expect(const RouteStats& got) const {
    EXPECT_EQ(got.rows, rows);
    EXPECT_DOUBLE_EQ(got.selected_share, chosen / rows);
    EXPECT_NEAR(got.router_mean, sum / rows, 1e-12);
    EXPECT_NEAR(got.router_std, std::sqrt(squares / rows - sum * sum / rows / rows), 1e-12);
    EXPECT_DOUBLE_EQ(got.accuracy, agreed / rows);
    EXPECT_DOUBLE_EQ(got.precision, decided > 0 ? hits / decided : 0);
    EXPECT_DOUBLE_EQ(got.recall, chosen > 0 ? hits / chosen : 0);
  }
};

TEST(RouteStats, EqualACountOfEveryRow) {
  RouteStatsSum sum;
  EXPECT_TRUE(sum.empty());
  std::vector<Counted> want(3);
  for (uint64_t pass = 0; pass < 3; ++pass) {
    const Rows rows = rows_of(4, 16, pass == 1);
    std::vector<Route> routes;
    for (uint64_t layer = 0; layer < 3; ++layer) {
      const Tensor score = normal({64}, 10 * pass + layer, torch::kFloat32);
      routes.push_back(route_of(concat("layers.", layer), score,
                                score + normal({64}, 100 + layer, torch::kFloat32), rows,
                                layer == 0 ? 0.125 : 0.5));
      want[layer].add(routes.back());
      if (layer != 2) continue;
      // The rounds of a repeat count together.
      Route again = routes.back();
      again.round = 1;
      again.decision = -again.decision;
      routes.push_back(again);
      want[2].add(again);
    }
    sum.add(routes);
  }
  const auto all = sum.read();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_FALSE(sum.empty());
  Counted together;
  double spread = 0;
  for (size_t layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(all[layer].name, concat("layers.", layer));
    want[layer].expect(all[layer]);
    together.rows += want[layer].rows, together.chosen += want[layer].chosen;
    together.hits += want[layer].hits, together.decided += want[layer].decided;
    together.agreed += want[layer].agreed, together.sum += want[layer].sum;
    spread += all[layer].router_std * want[layer].rows / 4;
  }
  const RouteStats one = overall(all);
  EXPECT_EQ(one.rows, together.rows);
  EXPECT_NEAR(one.selected_share, together.chosen / together.rows, 1e-14);
  EXPECT_NEAR(one.router_mean, together.sum / together.rows, 1e-12);
  EXPECT_NEAR(one.router_std, 4 * spread / together.rows, 1e-12);
  EXPECT_NEAR(one.accuracy, together.agreed / together.rows, 1e-14);
  EXPECT_NEAR(one.precision, together.hits / together.decided, 1e-14);
  EXPECT_NEAR(one.recall, together.hits / together.chosen, 1e-14);
}

// A layer whose every decision is wrong still decided.
TEST(RouteStats, OverallPrecisionCountsDecisionsThatNeverHit) {
  const Rows rows = rows_of(1, 8, false);
  const Tensor score = torch::arange(8).to(torch::kFloat32);
  RouteStatsSum sum;
  sum.add({route_of("right", score, score - 3.5, rows, 0.5),
           route_of("wrong", score, 3.5 - score, rows, 0.5)});
  const RouteStats all = overall(sum.read());
  EXPECT_DOUBLE_EQ(all.precision, 0.5);
  EXPECT_DOUBLE_EQ(all.recall, 0.5);
  EXPECT_DOUBLE_EQ(all.accuracy, 0.5);
}

TEST(RouteStats, AtCapacityOneTheDecisionIsTheChoice) {
  const Rows rows = rows_of(3, 8, true);
  Route route = choose_all(rows);
  route.name = "whole";
  route.logits = normal({24}, 1, torch::kFloat32);
  route.capacity = 1;
  RouteStatsSum sum;
  sum.add({route});
  const RouteStats got = sum.read()[0];
  EXPECT_EQ(got.rows, 2 + 5 + 8);
  for (const double share : {got.selected_share, got.accuracy, got.precision, got.recall})
    EXPECT_EQ(share, 1);
}

TEST(RouteStats, OfNothingAreZero) {
  EXPECT_EQ(overall({}).rows, 0);
  EXPECT_EQ(overall({}).selected_share, 0);
}

TEST(Trace, SaysWhoEnteredWithWhichWeight) {
  const Rows rows = rows_of(2, 4, false);
  const Tensor score = torch::tensor({1.0f, 4.0f, 2.0f, 3.0f, -5.0f, -8.0f, -7.0f, -6.0f});
  Route outer = route_of("outer", score, score - 2.5, rows, 0.5);
  // Inside, two rows of each sequence are left: 1, 3 and 4, 7.
  const Rows inner = gather_rows_of(rows, outer.token, 2);
  Route nested = route_of("outer.body.inner", torch::tensor({1.0f, 2.0f, 4.0f, 3.0f}),
                          torch::tensor({-1.0f, 1.0f, 2.0f, -2.0f}), inner, 0.5);
  nested.weight = Tensor();
  nested.round = 3;
  const auto layers = trace_routes({outer, nested}, 8);
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].name, "outer");
  EXPECT_EQ(layers[0].capacity, 0.5);
  EXPECT_EQ(layers[0].reached, (std::vector<uint8_t>(8, 1)));
  EXPECT_EQ(layers[0].entered, (std::vector<uint8_t>{0, 1, 0, 1, 1, 0, 0, 1}));
  for (size_t t = 0; t < 8; ++t) {
    const float own = score[static_cast<int64_t>(t)].item<float>();
    EXPECT_EQ(layers[0].decision[t], own - 2.5f);
    if (layers[0].entered[t]) {
      EXPECT_EQ(layers[0].weight[t], own);
    } else {
      EXPECT_TRUE(std::isnan(layers[0].weight[t]));
    }
  }
  EXPECT_EQ(layers[1].name, "outer.body.inner#3");
  EXPECT_EQ(layers[1].reached, layers[0].entered);
  EXPECT_EQ(layers[1].entered, (std::vector<uint8_t>{0, 0, 0, 1, 1, 0, 0, 0}));
  EXPECT_EQ(layers[1].weight[3], 1);
  EXPECT_EQ(layers[1].weight[4], 1);
  EXPECT_EQ(layers[1].decision[7], -2);
  EXPECT_TRUE(std::isnan(layers[1].decision[0]));

  // Of the routers a row stood before, those it entered.
  EXPECT_EQ(depth_shares(layers, 8), (std::vector<double>{0, 0.5, 0, 1, 1, 0, 0, 0.5}));
  EXPECT_EQ(depth_shares({}, 3), (std::vector<double>{1, 1, 1}));
}

TEST(Trace, EmptySlotsAreNobody) {
  Rows rows = rows_of(2, 3, false);
  rows.valid = torch::tensor({1, 1, 1, 1, 0, 0}).to(torch::kBool);
  const Tensor score = torch::ones({6});
  const Route outer = route_of("outer", score, Tensor(), rows, 0.6);  // 0, 1 and 3, empty
  const Rows inner = gather_rows_of(rows, outer.token, 2);
  const Route nested = route_of("inner", torch::ones({4}), Tensor(), inner, 0.9);
  const auto layers = trace_routes({outer, nested}, 6);
  for (const LayerTrace& layer : layers) {
    EXPECT_EQ(layer.entered, (std::vector<uint8_t>{1, 1, 0, 1, 0, 0})) << layer.name;
    EXPECT_TRUE(std::isnan(layer.decision[0]));
  }
  EXPECT_EQ(layers[1].reached, (std::vector<uint8_t>{1, 1, 0, 1, 0, 0}));
}

}  // namespace
}  // namespace pointwork::test
