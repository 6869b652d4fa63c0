#include "pointwork/route/token_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>

#include "pointwork/ops/device.h"
#include "pointwork/ops/rows.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

TEST(TopChoices, AreTheHighestScoresWhereRowsAreValid) {
  const Tensor score = torch::tensor({1.0f, 3.0f, 2.0f, 3.0f, 0.0f, 0.0f, 0.0f, 0.0f}).view({2, 4});
  EXPECT_EQ(elements<int32_t>(top_choices(score, 2, {})), (std::vector<int32_t>{1, 3, 0, 1}));
  EXPECT_EQ(elements<int32_t>(top_choices(score, 2, torch::tensor({true, false}))),
            (std::vector<int32_t>{1, 3, -1, -1}));
}

struct Case {
  std::string name;
  TokenChoiceConfig config;
  Rows rows;
  CapacityGroups groups;
  Tensor score, choice, weight;
};

std::vector<Case> cases() {
  std::vector<Case> made;
  uint64_t seed = 0;
  for (const int64_t length : {1, 3, 31, 33, 64}) {
    for (const auto& [experts, noop, k] :
         {std::tuple(4, 0, 1), std::tuple(3, 2, 2), std::tuple(3, 0, 3), std::tuple(1, 0, 1),
          std::tuple(40, 0, 2)}) {
      for (const double skew : {0.0, 1.0, 8.0}) {  // at 8 all rows want the first ones
        for (const auto priority : {CapacityPriority::position, CapacityPriority::probability}) {
          for (const int64_t group : {0, 16, 7}) {
            Case c{"",
                   {.num_experts = experts, .num_noop = noop, .top_k = k, .priority = priority}};
            c.name = concat(2 * length, " rows, ", experts, "+", noop, ", k ", k, ", skew ", skew,
                            ", groups of ", group, ", ", static_cast<int>(priority));
            c.rows = uniform_rows(2, length, torch::kCPU);
            if (++seed % 3 == 0)
              c.rows.valid = normal({2 * length}, seed, torch::kFloat32).gt(-0.5);
            c.groups = {.rows = group,
                        .capacity = seed % 5 == 0 ? 0 : 1 + length * k / experts / 2};
            const Tensor tilt = torch::arange(experts + noop, torch::kFloat64) * -skew;
            c.score = torch::softmax(normal({2 * length, experts + noop}, seed) + tilt, 1);
            c.choice = top_choices(c.score, k, c.rows.valid);
            if (seed % 4 == 0 && k > 1)  // second choices that are not used
              c.choice.select(1, 1).masked_fill_(normal({2 * length}, seed + 1).gt(0.5), kEmpty);
            c.weight = c.score.gather(1, c.choice.clamp_min(0).to(torch::kInt64));
            made.push_back(std::move(c));
          }
        }
      }
    }
  }
  return made;
}

// Who stands where, written down from the definition in float64.
struct Slots {
  std::vector<int32_t> token, offset = {0};
  std::vector<double> weight;
  std::vector<bool> kept;
  int64_t dropped = 0, noop = 0, none = 0;
  std::vector<int64_t> chosen;
};

Slots place(const Case& c) {
  const int64_t k = c.config.top_k, experts = c.config.num_experts, rows = c.rows.count();
  const auto choice = elements<int32_t>(c.choice);
  const auto weight = doubles(c.weight.to(torch::kFloat32));
  const int64_t group = c.groups.rows > 0 ? c.groups.rows : rows;
  Slots out{.kept = std::vector<bool>(choice.size()),
            .chosen = std::vector<int64_t>(static_cast<size_t>(c.config.choices()))};
  for (const int32_t e : choice) {
    out.none += e < 0;
    out.noop += e >= experts;
    if (e >= 0) ++out.chosen[static_cast<size_t>(e)];
  }
  for (int64_t first = 0; first < rows; first += group) {
    std::vector<int64_t> load(static_cast<size_t>(experts));
    for (int64_t rank = 0; rank < k; ++rank) {
      std::vector<int64_t> order(static_cast<size_t>(std::min(group, rows - first)));
      std::iota(order.begin(), order.end(), first);
      if (c.config.priority == CapacityPriority::probability)
        std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
          return weight[static_cast<size_t>(a * k + rank)] >
                 weight[static_cast<size_t>(b * k + rank)];
        });
      for (const int64_t t : order) {
        const auto p = static_cast<size_t>(t * k + rank);
        if (choice[p] < 0 || choice[p] >= experts) continue;
        int64_t& taken = load[static_cast<size_t>(choice[p])];
        out.kept[p] = c.groups.capacity == 0 || taken < c.groups.capacity;
        taken += out.kept[p];
        out.dropped += !out.kept[p];
      }
    }
  }
  for (int64_t e = 0; e < experts; ++e) {
    for (size_t p = 0; p < choice.size(); ++p) {
      if (choice[p] != e || !out.kept[p]) continue;
      out.token.push_back(static_cast<int32_t>(p) / static_cast<int32_t>(k));
      out.weight.push_back(weight[p]);
    }
    out.offset.push_back(static_cast<int32_t>(out.token.size()));
  }
  return out;
}

Route route_of(const Case& c) {
  return choose_experts(c.config, c.choice, c.weight.to(torch::kFloat32), c.rows, c.groups);
}

TEST(ChooseExperts, EqualsALoopOverTokens) {
  int64_t dropped = 0, idle = 0;
  for (const Case& c : cases()) {
    Slots want = place(c);
    dropped += want.dropped;
    for (size_t e = 1; e < want.offset.size(); ++e) idle += want.offset[e] == want.offset[e - 1];
    for (const bool composite : {false, true}) {
      std::optional<CompositeGuard> guard;
      if (composite) guard.emplace();
      const Route route = route_of(c);
      const auto slots = static_cast<size_t>(route.shape.slots);
      ASSERT_GE(slots, want.token.size()) << c.name;
      want.token.resize(slots, kEmpty);
      want.weight.resize(slots, 0);
      ASSERT_EQ(elements<int32_t>(route.token), want.token) << c.name;
      ASSERT_EQ(elements<int32_t>(route.offset), want.offset) << c.name;
      ASSERT_EQ(doubles(route.weight), want.weight) << c.name;
      ASSERT_EQ(route.weight.scalar_type(), torch::kFloat32);
      const auto [row_offset, row_slot] = index_slots(ints(want.token), c.rows.count());
      ASSERT_TRUE(same_bits(route.row_offset, row_offset)) << c.name;
      ASSERT_TRUE(same_bits(route.row_slot, row_slot)) << c.name;
      ASSERT_TRUE(same_bits(route.root, c.rows.root));
      EXPECT_EQ(route.valid.defined(), c.rows.valid.defined());
      EXPECT_EQ(route.sequences, 2);
      EXPECT_EQ(route.group, c.groups.rows);
      EXPECT_EQ(route.shape.rows, c.rows.count());
      EXPECT_EQ(route.shape.experts, c.config.num_experts);
      EXPECT_EQ(route.shape.noop, c.config.num_noop);
      EXPECT_EQ(route.shape.top_k, c.config.top_k);
    }
  }
  EXPECT_GT(dropped, 1000);
  EXPECT_GT(idle, 100);
}

TEST(ChooseExperts, EveryPairIsRoutedDroppedNoOpOrNone) {
  for (const Case& c : cases()) {
    const Slots want = place(c);
    const RouteCounts counts = count_choices(route_of(c));
    const auto number = [](const Tensor& x) { return x.item<int64_t>(); };
    EXPECT_EQ(elements<int64_t>(counts.chosen), want.chosen) << c.name;
    EXPECT_EQ(number(counts.routed), want.offset.back()) << c.name;
    EXPECT_EQ(number(counts.dropped), want.dropped) << c.name;
    EXPECT_EQ(number(counts.noop), want.noop) << c.name;
    EXPECT_EQ(number(counts.none), want.none) << c.name;
    EXPECT_EQ(
        number(counts.routed) + number(counts.dropped) + number(counts.noop) + number(counts.none),
        c.rows.count() * c.config.top_k)
        << c.name;
  }
}

TEST(ChooseExperts, SlotsFollowFromTheConfigAndTheBatchAlone) {
  const Rows rows = uniform_rows(2, 32, torch::kCPU);
  const auto slots = [&](int64_t k, const CapacityGroups& groups, int32_t only) {
    const TokenChoiceConfig config{.num_experts = 4, .num_noop = 1, .top_k = k};
    return choose_experts(config, torch::full({64, k}, only, torch::kInt32), {}, rows, groups)
        .token.size(0);
  };
  for (const int32_t only : {0, 3, 4, -1}) {
    EXPECT_EQ(slots(1, {.rows = 0, .capacity = 5}, only), 20);
    EXPECT_EQ(slots(1, {.rows = 24, .capacity = 5}, only), 60);  // 24, 24, 16
    EXPECT_EQ(slots(1, {.rows = 24, .capacity = 6}, only), 64);
    EXPECT_EQ(slots(2, {.rows = 24, .capacity = 6}, only), 72);
    EXPECT_EQ(slots(2, {}, only), 128);
  }
}

Case everyone_wants_the_first(int64_t rows, int64_t capacity) {
  Case c{"first", {.num_experts = 4}, uniform_rows(1, rows, torch::kCPU), {0, capacity}};
  c.choice = torch::zeros({rows, 1}, torch::kInt32);
  c.weight = torch::rand({rows, 1});
  return c;
}

// Transformers 5 counted over an axis of one, so that nothing was ever dropped (issue #48293).
TEST(ChooseExperts, DefectCapacityIsNeverEnforced) {
  const Route route = route_of(everyone_wants_the_first(100, 7));
  EXPECT_EQ(elements<int32_t>(route.offset), (std::vector<int32_t>{0, 7, 7, 7, 7}));
  EXPECT_EQ(count_choices(route).dropped.item<int64_t>(), 93);
  EXPECT_EQ(count_choices(route).chosen[0].item<int64_t>(), 100);
}

// Others dropped rows at random, or whole experts' worth: first come, first kept.
TEST(ChooseExperts, DefectRowsAreDroppedAtRandom) {
  const Route route = route_of(everyone_wants_the_first(100, 7));
  EXPECT_EQ(elements<int32_t>(route.token.slice(0, 0, 8)),
            (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, -1}));
}

// A dropped row was once handed on times its probability (issue #37017): it must not change at all.
TEST(ChooseExperts, DefectDroppedRowsAreScaledInsteadOfLeft) {
  const Case c = everyone_wants_the_first(20, 3);
  const Route route = route_of(c);
  const Tensor x = normal({20, 5}, 1, torch::kFloat32);
  const RowIndex index{route.token, route.row_offset, route.row_slot};
  const Tensor y = combine(x, dispatch(x, index), route.weight, index);
  EXPECT_TRUE(same_bits(y.slice(0, 3), x.slice(0, 3)));
  const Tensor kept = x.slice(0, 0, 3);
  expect_within("kept", y.slice(0, 0, 3),
                (kept * (1 + c.weight.slice(0, 0, 3))).to(torch::kFloat64),
                1e-6 * (1 + kept.abs().to(torch::kFloat64)));
}

TEST(ChooseExperts, DefectPaddingTakesCapacity) {
  Case c = everyone_wants_the_first(20, 4);
  c.rows.valid = torch::arange(20).ge(10);
  const Route route = route_of(c);
  EXPECT_EQ(elements<int32_t>(route.token.slice(0, 0, 5)),
            (std::vector<int32_t>{10, 11, 12, 13, -1}));
  const RouteCounts counts = count_choices(route);
  EXPECT_EQ(counts.none.item<int64_t>(), 10);
  EXPECT_EQ(counts.dropped.item<int64_t>(), 6);
  EXPECT_EQ(elements<int64_t>(counts.chosen), (std::vector<int64_t>{10, 0, 0, 0}));
}

TEST(ChooseExperts, DefectGroupsShareTheirCapacity) {
  Case c = everyone_wants_the_first(10, 2);
  c.groups.rows = 4;
  EXPECT_EQ(elements<int32_t>(route_of(c).token),
            (std::vector<int32_t>{0, 1, 4, 5, 8, 9, -1, -1, -1, -1}));
}

TEST(ChooseExperts, RowsOfPaddingBehindChangeNothing) {
  for (const Case& c : cases()) {
    if (c.groups.rows == 0) continue;
    const int64_t more = 5;
    Case longer = c;
    longer.rows = uniform_rows(1, c.rows.count() + more, torch::kCPU);
    const Tensor valid =
        c.rows.valid.defined() ? c.rows.valid : torch::ones({c.rows.count()}, torch::kBool);
    longer.rows.valid = at::constant_pad_nd(valid, {0, more}, false);
    longer.choice = at::constant_pad_nd(c.choice, {0, 0, 0, more}, 0);  // were they valid
    longer.weight =
        at::constant_pad_nd(c.weight, {0, 0, 0, more}, std::numeric_limits<double>::quiet_NaN());
    const Route a = route_of(c), b = route_of(longer);
    const int64_t filled = a.offset[-1].item<int32_t>();
    ASSERT_TRUE(same_bits(a.offset, b.offset)) << c.name;
    ASSERT_TRUE(same_bits(a.token.slice(0, 0, filled), b.token.slice(0, 0, filled))) << c.name;
    ASSERT_TRUE(same_bits(a.weight.slice(0, 0, filled), b.weight.slice(0, 0, filled))) << c.name;
    EXPECT_EQ(largest(b.weight.slice(0, filled)), 0) << c.name;  // and not NaN
    const RouteCounts first = count_choices(a), second = count_choices(b);
    EXPECT_TRUE(same_bits(first.chosen, second.chosen)) << c.name;
    EXPECT_TRUE(same_bits(first.dropped, second.dropped)) << c.name;
  }
}

TEST(ChooseExperts, GradientReachesExactlyTheKeptPairs) {
  for (const Case& c : cases()) {
    const Tensor weight = c.weight.detach().clone().set_requires_grad(true);
    const Route route = choose_experts(c.config, c.choice, weight, c.rows, c.groups);
    // Of an empty slot whatever stands in it must not come back either.
    const Tensor grad =
        torch::arange(1, route.shape.slots + 1, torch::kFloat64)
            .masked_fill(route.token.lt(0), std::numeric_limits<double>::quiet_NaN());
    route.weight.backward(grad);
    const auto got = doubles(weight.grad());
    const Slots want = place(c);
    const auto choice = elements<int32_t>(c.choice);
    std::vector<int32_t> next = want.offset;
    for (size_t p = 0; p < got.size(); ++p)
      ASSERT_EQ(got[p], want.kept[p] ? ++next[static_cast<size_t>(choice[p])] : 0) << c.name;
  }
}

TEST(ChooseExperts, WeightsThatAreNotThereAreOne) {
  Case c = everyone_wants_the_first(4, 2);
  EXPECT_FALSE(choose_experts(c.config, c.choice, {}, c.rows, c.groups).weight.defined());
  c.config.priority = CapacityPriority::probability;
  EXPECT_EQ(error_of([&] { choose_experts(c.config, c.choice, {}, c.rows, c.groups); }),
            "[choose_experts] priority = probability needs the weights");
  EXPECT_EQ(error_of([&] {
              choose_experts(c.config, c.choice.view({2, 2}), {}, c.rows, c.groups);
            }),
            "[choose_experts] choices must be [4, 1] but have shape [2, 2]");
  EXPECT_EQ(
      error_of([&] { choose_experts(c.config, c.choice, torch::ones({4}), c.rows, c.groups); }),
      "[choose_experts] weights must be [4, 1] but have shape [4]");
}

TEST(ChooseExperts, NoRowsMakeAnEmptyRoute) {
  Case c = everyone_wants_the_first(0, 2);
  const Route route = route_of(c);
  EXPECT_EQ(route.token.size(0), 0);
  EXPECT_EQ(route.weight.size(0), 0);
  EXPECT_EQ(elements<int32_t>(route.offset), (std::vector<int32_t>(5, 0)));
  EXPECT_EQ(count_choices(route).none.item<int64_t>(), 0);
}

}  // namespace
}  // namespace pointwork::test
