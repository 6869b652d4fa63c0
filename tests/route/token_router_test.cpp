#include "pointwork/route/token_router.h"

#include <gtest/gtest.h>

#include "pointwork/base/rng.h"
#include "pointwork/route/balance.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

constexpr int64_t kSize = 8, kLength = 40, kSequences = 3, kRows = kSequences * kLength;

RouteConfig config_of(TokenChoiceConfig token) {
  RouteConfig config;
  static_cast<TokenChoiceConfig&>(config) = token;
  config.choice = ChoiceKind::token;
  return config;
}

std::shared_ptr<TokenRouter> router_of(const RouteConfig& config, double scale = 1) {
  auto router = std::make_shared<TokenRouter>(
      RouterOptions{.name = "layers.1.experts", .size = kSize}, config);
  const torch::NoGradGuard no_grad;
  router->weight.copy_(normal(router->weight.sizes(), 1, torch::kFloat64, scale));
  return router;
}

Context context(bool training = false, Routing routing = Routing::training, int64_t step = 0) {
  Context ctx{.rows = uniform_rows(kSequences, kLength, torch::kCPU), .routing = routing};
  ctx.rows.key = torch::tensor({int64_t{5}, int64_t{6}, int64_t{9}});
  ctx.training = training;
  ctx.step = step;
  ctx.seed = 3;
  return ctx;
}

Tensor stream(torch::Dtype dtype = torch::kFloat32) { return normal({kRows, kSize}, 11, dtype); }

Route route_of(TokenRouter& router, Context ctx, const Tensor& x = stream()) {
  return router.forward(x, ctx);
}

bool same_route(const Route& a, const Route& b) {
  return same_bits(a.token, b.token) && same_bits(a.weight, b.weight) &&
         same_bits(a.choice, b.choice);
}

// Selective precision: the router's input is cast, not its output.
TEST(TokenRouter, ComputesInFloat32WhateverTheStreamIs) {
  const auto router = router_of(config_of({.num_experts = 4}));
  const Tensor half = stream(torch::kBFloat16);
  const Route got = route_of(*router, context(), half);
  const Route want = route_of(*router, context(), half.to(torch::kFloat32));
  EXPECT_EQ(got.logits.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(same_bits(got.logits, want.logits));
  EXPECT_TRUE(same_route(got, want));
  // And in bfloat16 where that is asked for: other logits, rounded ones.
  const auto coarse =
      router_of(config_of({.num_experts = 4, .router_dtype = RouterDtype::bfloat16}));
  const Route rounded = route_of(*coarse, context());
  EXPECT_TRUE(same_bits(rounded.logits, rounded.logits.to(torch::kBFloat16).to(torch::kFloat32)));
  EXPECT_FALSE(rounded.logits.equal(route_of(*router, context()).logits));
}

TEST(TokenRouter, ExploresInTrainingAloneAndAnewInEachStep) {
  for (const Exploration kind : {Exploration::jitter, Exploration::dropout, Exploration::sample}) {
    const auto router =
        router_of(config_of({.num_experts = 4, .exploration = kind, .exploration_amount = 0.3}));
    const Route calm = route_of(*router, context());
    EXPECT_TRUE(
        same_bits(calm.logits, route_of(*router, context(false, Routing::training, 1)).logits));
    const Route first = route_of(*router, context(true)), again = route_of(*router, context(true)),
                second = route_of(*router, context(true, Routing::training, 1));
    EXPECT_TRUE(same_bits(first.choice, again.choice));
    EXPECT_FALSE(first.choice.equal(second.choice));
    EXPECT_FALSE(first.choice.equal(calm.choice));
    if (kind == Exploration::sample) EXPECT_TRUE(same_bits(first.logits, calm.logits));
  }
  const auto still = router_of(config_of({.num_experts = 4, .exploration = Exploration::none}));
  EXPECT_TRUE(
      same_bits(route_of(*still, context(true)).logits, route_of(*still, context()).logits));
}

// The logits of a jittered copy lie between those of (1 − ε) x and (1 + ε) x where weight and x are
// positive, and their mean is that of x.
TEST(TokenRouter, JitterMultipliesTheInputByOnePlusMinusItsAmount) {
  const auto router = router_of(
      config_of({.num_experts = 2, .exploration = Exploration::jitter, .exploration_amount = 0.1}));
  {
    const torch::NoGradGuard no_grad;
    router->weight.abs_();
  }
  const Tensor x = stream().abs();
  const Tensor calm = route_of(*router, context(), x).logits,
               jittered = route_of(*router, context(true), x).logits;
  const Tensor ratio = jittered / calm;
  EXPECT_GE(ratio.min().item<double>(), 0.9);
  EXPECT_LE(ratio.max().item<double>(), 1.1);
  EXPECT_GT(ratio.std().item<double>(), 0.005);
  // Each is a mean of draws of deviation 0.1 / √3.
  EXPECT_NEAR(ratio.mean().item<double>(), 1, 5 * 0.1 / std::sqrt(3.0 * kRows));
}

TEST(TokenRouter, SamplesByItsProbabilities) {
  const auto router = router_of(config_of({.num_experts = 3, .exploration = Exploration::sample}));
  const Tensor x = stream().slice(0, 0, 1).expand({kRows, kSize}).contiguous();
  Tensor count = torch::zeros({3});
  constexpr int kSteps = 100;
  for (int64_t step = 0; step < kSteps; ++step) {
    const Route route = route_of(*router, context(true, Routing::training, step), x);
    count += torch::bincount(route.choice.flatten().to(torch::kInt64), {}, 3);
    // Its own probability is the weight of the expert that was drawn.
    const Tensor p = route.probability.gather(1, route.choice.to(torch::kInt64));
    EXPECT_LE(route.weight.max().item<double>(), p.max().item<double>());
  }
  const Tensor p = route_of(*router, context(), x).probability[0];
  constexpr double kDraws = static_cast<double>(kSteps) * kRows;
  for (int64_t e = 0; e < 3; ++e) {
    const double want = p[e].item<double>();
    EXPECT_NEAR(count[e].item<double>() / kDraws, want, 5 * std::sqrt(want * (1 - want) / kDraws));
  }
}

// minimind #858: a weight renormalised at k = 1 would be 1, and the router learn nothing from the
// text.
TEST(TokenRouter, AtTopOneItsWeightIsTheProbabilityAndTrainsIt) {
  const auto router = router_of(config_of({.num_experts = 4}));
  const Route route = route_of(*router, context(false, Routing::inference));
  EXPECT_TRUE(
      std::get<0>(route.weight.sort()).equal(std::get<0>(route.probability.amax(1).sort())));
  route.weight.square().sum().backward();
  EXPECT_GT(largest(router->weight.grad()), 1e-3);
}

TEST(TokenRouter, AStraightThroughWeightIsOneAndTrainsItAllTheSame) {
  RouteConfig config = config_of({.num_experts = 4});
  config.weight = RouterWeight::ste;
  const auto router = router_of(config);
  const Route route = route_of(*router, context(false, Routing::inference));
  EXPECT_LE((route.weight - 1).abs().max().item<double>(), 2e-7);
  route.weight.square().sum().backward();
  EXPECT_GT(largest(router->weight.grad()), 1e-3);
}

TEST(TokenRouter, TheSecondChoiceIsTakenByItsShare) {
  RouteConfig config = config_of({.num_experts = 4,
                                  .top_k = 2,
                                  .second_choice = SecondChoice::random,
                                  .second_threshold = 0.4,
                                  .dropless = true,
                                  .exploration = Exploration::none});
  const auto router = router_of(config);
  const Route calm = route_of(*router, context());
  EXPECT_EQ(calm.choice.lt(0).sum().item<int64_t>(), 0);
  const Tensor p = calm.probability.gather(1, calm.choice.to(torch::kInt64));
  const Tensor chance = (p.select(1, 1) / p.sum(1) / 0.4).clamp_max(1).to(torch::kFloat64);
  double taken = 0;
  constexpr int kSteps = 60;
  for (int64_t step = 0; step < kSteps; ++step) {
    const Route route = route_of(*router, context(true, Routing::training, step));
    EXPECT_EQ(route.choice.select(1, 0).lt(0).sum().item<int64_t>(), 0);
    taken += route.choice.select(1, 1).ge(0).sum().item<double>();
    EXPECT_EQ(route.token.ge(0).sum().item<int64_t>(), route.choice.ge(0).sum().item<int64_t>());
  }
  const double want = kSteps * chance.sum().item<double>(),
               spread = std::sqrt(kSteps * (chance * (1 - chance)).sum().item<double>());
  EXPECT_NEAR(taken, want, 5 * spread);
  EXPECT_LT(taken, kSteps * static_cast<double>(kRows));
}

// The factor of training in training, that of evaluation otherwise, none at inference.
TEST(TokenRouter, LimitsExpertsByThePhase) {
  const auto router = router_of(config_of({.num_experts = 4,
                                           .capacity_factor = 0.5,
                                           .eval_capacity_factor = 1,
                                           .min_capacity = 1,
                                           .exploration = Exploration::none}),
                                4);
  const auto fullest = [](const Route& route) {
    return (route.offset.slice(0, 1) - route.offset.slice(0, 0, -1)).max().item<int64_t>();
  };
  EXPECT_EQ(fullest(route_of(*router, context(true))), kRows / 8);
  EXPECT_EQ(fullest(route_of(*router, context())), kRows / 4);
  const Route free = route_of(*router, context(false, Routing::inference));
  EXPECT_GT(fullest(free), kRows / 4);
  EXPECT_EQ(free.token.ge(0).sum().item<int64_t>(), kRows);
}

TEST(TokenRouter, LosesNothingToPaddingInCapacityOrLoss) {
  const auto router =
      router_of(config_of({.num_experts = 3,
                           .eval_capacity_factor = 0.6,
                           .group_size = 0,
                           .min_capacity = 1,
                           .balance = {.z_loss_weight = 0.1, .sequence_loss_weight = 0.1}}));
  Context ctx = context();
  ctx.rows.valid = ctx.rows.position.lt(17);
  Tensor x = stream();
  const Route before = router->forward(x, ctx);
  const double loss = router->loss(before).item<double>();
  x = torch::where(ctx.rows.valid.unsqueeze(1), x, 100 * x);
  const Route after = router->forward(x, ctx);
  EXPECT_TRUE(same_bits(before.token, after.token));
  EXPECT_EQ(loss, router->loss(after).item<double>());
  EXPECT_EQ(after.choice.masked_select(ctx.rows.valid.logical_not().unsqueeze(1))
                .ge(0)
                .sum()
                .item<int64_t>(),
            0);
  // The rows that count find the places that padding would have taken.
  const Tensor rows = after.token.masked_select(after.token.ge(0)).to(torch::kInt64);
  EXPECT_TRUE(ctx.rows.valid.index_select(0, rows).all().item<bool>());
}

TEST(TokenRouter, AddsEachLossByItsWeight) {
  const BalanceConfig balance{
      .loss_weight = 0.5, .z_loss_weight = 0.25, .sequence_loss_weight = 0.125};
  for (const RouterScore score : {RouterScore::softmax, RouterScore::sigmoid}) {
    const auto router = router_of(config_of({.num_experts = 3,
                                             .num_noop = 1,
                                             .top_k = 2,
                                             .score = score,
                                             .group_size = 50,
                                             .balance = balance}));
    const Route route = route_of(*router, context());
    Tensor p = route.probability;
    if (score == RouterScore::sigmoid) p = p / p.sum(1, true);
    const double want = 0.5 * balance_loss(p, route.choice, 4, 50, {}).item<double>() +
                        0.25 * router_z_loss(route.logits, {}).item<double>() +
                        0.125 * balance_loss(p, route.choice, 4, kLength, {}).item<double>();
    EXPECT_NEAR(router->loss(route).item<double>(), want, 1e-6 * want);
  }
  EXPECT_FALSE(router_of(config_of({.num_experts = 3, .balance = {.loss_weight = 0}}))
                   ->loss(route_of(*router_of(config_of({.num_experts = 3})), context()))
                   .defined());
}

// arXiv:2408.15664: outside the gradient, for the choice alone, by the load of all micro-batches.
TEST(TokenRouter, MovesItsBiasByTheLoadOfAStep) {
  for (const RouterScore score : {RouterScore::softmax, RouterScore::sigmoid}) {
    const auto router = router_of(config_of({.num_experts = 4,
                                             .score = score,
                                             .dropless = true,
                                             .exploration = Exploration::none,
                                             .balance = {.bias_rate = 0.125}}),
                                  2);
    const Route first = route_of(*router, context(true)),
                other = route_of(*router, context(true), -stream());
    EXPECT_EQ(largest(router->bias), 0);  // not before the step is over
    const auto load = [](const Route& route) {
      return torch::bincount(route.choice.flatten().to(torch::kInt64), {}, 4).to(torch::kFloat64);
    };
    const Tensor both = load(first) + load(other);
    router->end_step();
    const Tensor want = (both.mean() - both).sign() * 0.125;
    EXPECT_TRUE(router->bias.to(torch::kFloat64).equal(want)) << router->bias << want;
    // Weights are still the plain probability of what was chosen.
    const Route after = route_of(*router, context(false, Routing::inference));
    EXPECT_TRUE(after.probability.equal(first.probability));
    EXPECT_FALSE(after.choice.equal(first.choice));
    const Tensor p = after.probability.gather(1, after.choice.to(torch::kInt64)).flatten();
    EXPECT_TRUE(after.weight.equal(p.index_select(0, after.token.to(torch::kInt64))));
    // Nor does looking move it.
    const Tensor kept = router->bias.clone();
    router->end_step();
    EXPECT_TRUE(router->bias.equal(kept));
  }
}

TEST(TokenRouter, ABiasEvensOutLoads) {
  const auto router = router_of(config_of({.num_experts = 4,
                                           .dropless = true,
                                           .exploration = Exploration::none,
                                           .balance = {.bias_rate = 0.01}}),
                                2);
  const auto fullest = [&] {
    const Route route = route_of(*router, context(true));
    return (route.offset.slice(0, 1) - route.offset.slice(0, 0, -1)).max().item<double>() /
           (kRows / 4);
  };
  EXPECT_GT(fullest(), 1.3);
  for (int i = 0; i < 300; ++i) {
    route_of(*router, context(true));
    router->end_step();
  }
  EXPECT_LT(fullest(), 1.15);
}

TEST(TokenRouter, HoldsTheMeanOfActiveExperts) {
  for (const double target : {0.25, 0.5, 1.2}) {
    const auto router = router_of(config_of({.num_experts = 3,
                                             .num_noop = 3,
                                             .top_k = 2,
                                             .dropless = true,
                                             .target_active = target,
                                             .target_rate = 0.01,
                                             .exploration = Exploration::none}));
    double active = 0;
    for (int i = 0; i < 400; ++i) {
      const Route route = route_of(*router, context(true));
      router->end_step();
      if (i >= 300) active += route.token.ge(0).sum().item<double>() / kRows / 100;
    }
    EXPECT_NEAR(active, target, 0.05);
    EXPECT_EQ(largest(router->bias.slice(0, 0, 3)), 0);  // the experts' own are not its business
    EXPECT_EQ(router->share(0), target);
  }
}

TEST(TokenRouter, CopyingNoopsWeighTheRowItself) {
  TokenChoiceConfig token{.num_experts = 2, .num_noop = 2, .noop = NoopKind::copy, .top_k = 2};
  const Route route = route_of(*router_of(config_of(token)), context());
  const Tensor p = route.probability.gather(1, route.choice.to(torch::kInt64));
  EXPECT_TRUE(route.copy_weight.equal(p.masked_fill(route.choice.lt(2), 0).sum(1)));
  EXPECT_GT(largest(route.copy_weight), 0);
  token.noop = NoopKind::zero;
  EXPECT_FALSE(route_of(*router_of(config_of(token)), context()).copy_weight.defined());
}

TEST(TokenRouter, OneExpertsSlotsStandBySequence) {
  const TokenChoiceConfig token{.num_experts = 1,
                                .num_noop = 1,
                                .eval_capacity_factor = 1,
                                .min_capacity = 1,
                                .target_active = 0.25};
  for (const CapacityPriority priority :
       {CapacityPriority::position, CapacityPriority::probability}) {
    RouteConfig config = config_of(token);
    config.priority = priority;
    const auto router = router_of(config);
    const Route all = route_of(*router, context(false, Routing::inference)),
                some = route_of(*router, context());
    EXPECT_EQ(some.shape.each, 10);
    EXPECT_EQ(some.token.size(0), kSequences * 10);
    EXPECT_FALSE(some.offset.defined());
    for (int64_t b = 0; b < kSequences; ++b) {
      // Who wants in, best or first first, as many as there are slots, then in order.
      std::vector<int32_t> wanted;
      for (int32_t t = 0; t < kLength; ++t) {
        const auto row = static_cast<int32_t>(b * kLength + t);
        if (some.choice[row][0].item<int32_t>() == 0) wanted.push_back(row);
      }
      if (priority == CapacityPriority::probability) {
        std::stable_sort(wanted.begin(), wanted.end(), [&](int32_t a, int32_t c) {
          return some.probability[a][0].item<float>() > some.probability[c][0].item<float>();
        });
      }
      ASSERT_GT(wanted.size(), 10u);
      wanted.resize(10);
      std::sort(wanted.begin(), wanted.end());
      EXPECT_EQ(elements<int32_t>(some.token.slice(0, 10 * b, 10 * (b + 1))), wanted);
    }
    EXPECT_EQ(all.token.size(0), all.choice.eq(0).sum().item<int64_t>());
  }
}

TEST(TokenRouter, OfNumbersThatAreNoneLeavesTheOtherRowsAlone) {
  const auto router = router_of(config_of({.num_experts = 4, .dropless = true}));
  Tensor x = stream();
  const Route before = route_of(*router, context(), x);
  x[7][2] = std::nan("");
  const Route after = route_of(*router, context(), x);
  EXPECT_FALSE(after.logits.isfinite().all().item<bool>());
  for (int64_t t = 0; t < kRows; ++t)
    if (t != 7) EXPECT_TRUE(before.choice[t].equal(after.choice[t]));
}

TEST(TokenRouter, RefusesAttentionInSeveralExperts) {
  EXPECT_THROW(
      TokenRouter({.name = "x", .size = kSize, .attends = true}, config_of({.num_experts = 2})),
      Error);
}

}  // namespace
}  // namespace pointwork::test
