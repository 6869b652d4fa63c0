#include "pointwork/route/depth_router.h"

#include <gtest/gtest.h>

#include <optional>

#include "pointwork/ops/device.h"
#include "pointwork/route/choice.h"
#include "pointwork/route/losses.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

constexpr int64_t kSize = 8, kLength = 12, kSequences = 3;
const std::string kName = "layers.1";

// Weights and predictor drawn, so that decisions go both ways.
std::shared_ptr<DepthRouter> router_of(const RouteConfig& config,
                                       torch::Dtype dtype = torch::kFloat32) {
  auto router = std::make_shared<DepthRouter>(kName, kSize, config);
  const torch::NoGradGuard no_grad;
  if (router->weight.defined()) router->weight.copy_(normal({kSize}, 1));
  if (router->predictor) {
    Predictor& p = *router->predictor;
    p.hidden.copy_(normal(p.hidden.sizes(), 2));
    p.hidden_bias.copy_(normal(p.hidden_bias.sizes(), 3));
    p.output.copy_(normal(p.output.sizes(), 4, torch::kFloat64, 2));
    p.output_bias.fill_(0.1);
  }
  if (dtype == torch::kFloat64) router->to(dtype);
  return router;
}

Context context(Routing routing = Routing::training, bool training = false) {
  Context ctx{.rows = uniform_rows(kSequences, kLength, torch::kCPU), .routing = routing};
  ctx.training = training;
  ctx.rows.key = torch::tensor({int64_t{5}, int64_t{6}, int64_t{9}});
  ctx.seed = 3;
  return ctx;
}

Tensor stream(torch::Dtype dtype = torch::kFloat32) {
  return normal({kSequences * kLength, kSize}, 11, dtype);
}

Tensor scores(const Tensor& x, const DepthRouter& router) {
  return x.to(torch::kFloat64).mv(router.weight.detach().to(torch::kFloat64));
}

// Every option that has a meaning of its own.
std::vector<RouteConfig> all_options() {
  std::vector<RouteConfig> all;
  for (const ChoiceKind choice : {ChoiceKind::expert, ChoiceKind::random, ChoiceKind::threshold}) {
    for (const CausalDecision decode : {CausalDecision::predictor, CausalDecision::router}) {
      for (const RouterWeight weight :
           {RouterWeight::raw, RouterWeight::sigmoid, RouterWeight::tanh, RouterWeight::none}) {
        all.push_back({.choice = choice, .capacity = 0.25, .weight = weight, .decode = decode});
      }
    }
  }
  return all;
}

TEST(DepthRouter, HasTheParametersItsOptionsNeed) {
  const auto names = [](const RouteConfig& config) {
    std::string joined;
    const DepthRouter router(kName, kSize, config);
    for (const auto& item : router.named_parameters()) joined += item.key() + ' ';
    for (const auto& item : router.named_buffers()) joined += '(' + item.key() + ") ";
    return joined;
  };
  EXPECT_EQ(names({.choice = ChoiceKind::expert, .decode = CausalDecision::router}), "weight ");
  EXPECT_EQ(names({.choice = ChoiceKind::expert}),
            "weight predictor.hidden predictor.hidden_bias predictor.output "
            "predictor.output_bias ");
  EXPECT_EQ(names({.choice = ChoiceKind::random}), "");
  EXPECT_EQ(names({.choice = ChoiceKind::threshold}), "weight (threshold) ");
}

TEST(DepthRouter, TrainingTakesTheBestByTheProductWithItsWeight) {
  for (const CausalDecision decode : {CausalDecision::predictor, CausalDecision::router}) {
    const auto router = router_of({.capacity = 0.25, .decode = decode}, torch::kFloat64);
    const Tensor x = stream(torch::kFloat64);
    Context ctx = context();
    ctx.round = 7;
    const Route route = router->forward(x, ctx);
    const Tensor want = scores(x, *router);
    expect_same("logits", route.logits, want);
    EXPECT_EQ(elements<int32_t>(route.token),
              elements<int32_t>(choose_top(kName, want, ctx.rows, 0.25).token));
    EXPECT_EQ(route.token.size(0), kSequences * 3);
    EXPECT_EQ(route.name, kName);
    EXPECT_EQ(route.round, 7);
    EXPECT_EQ(route.capacity, 0.25);
  }
}

TEST(DepthRouter, InferenceWithDecodeRouterTakesRowsOfPositiveScore) {
  const auto router = router_of({.capacity = 0.25, .decode = CausalDecision::router});
  Context ctx = context(Routing::inference);
  const Tensor x = stream();
  const Route route = router->forward(x, ctx);
  EXPECT_TRUE(same_bits(route.decision, route.logits));
  EXPECT_EQ(elements<int32_t>(route.token),
            elements<int32_t>(choose_above_zero(scores(x, *router), ctx.rows).token));
  EXPECT_GT(route.token.size(0), 0);
  EXPECT_LT(route.token.size(0), kSequences * kLength);
}

TEST(DepthRouter, InferenceWithAPredictorTakesRowsOfPositiveLogit) {
  const auto router = router_of({.capacity = 0.25}, torch::kFloat64);
  Context ctx = context(Routing::inference);
  const Tensor x = stream(torch::kFloat64);
  const Route route = router->forward(x, ctx);
  // D → D/2 → 1 with SiLU, row by row.
  const Predictor& p = *router->predictor;
  EXPECT_EQ(p.hidden.size(0), kSize / 2);
  Tensor want = torch::empty({x.size(0)}, torch::kFloat64);
  for (int64_t t = 0; t < x.size(0); ++t) {
    double logit = p.output_bias.item<double>();
    for (int64_t j = 0; j < kSize / 2; ++j) {
      double h = p.hidden_bias[j].item<double>();
      for (int64_t i = 0; i < kSize; ++i)
        h += p.hidden[j][i].item<double>() * x[t][i].item<double>();
      logit += p.output[j].item<double>() * h / (1 + std::exp(-h));
    }
    want[t] = logit;
  }
  expect_same("decision", route.decision, want);
  EXPECT_EQ(elements<int32_t>(route.token),
            elements<int32_t>(choose_above_zero(want, ctx.rows).token));
}

// The prior odds of its capacity.
TEST(DepthRouter, APredictorStartsAtTheLogitOfItsCapacity) {
  for (const double capacity : {0.125, 0.5, 1.0}) {
    const double share = std::min(capacity, 0.999);
    EXPECT_EQ(Predictor(8, capacity).output_bias.item<float>(),
              static_cast<float>(std::log(share / (1 - share))));
  }
}

// Where the capacity begins at 1, nobody is asked until it has fallen below.
TEST(DepthRouter, APredictorStartsAtTheFirstCapacityThatLeavesRowsOut) {
  const auto odds = [](double share) { return static_cast<float>(std::log(share / (1 - share))); };
  const auto bias_of = [](double start) {
    const DepthRouter router(
        "mod", 8,
        {.capacity = 0.25, .capacity_schedule = {.start = start, .steps = 40, .values = 4}});
    return router.predictor->output_bias.item<float>();
  };
  EXPECT_FLOAT_EQ(bias_of(1), odds(0.75));
  EXPECT_FLOAT_EQ(bias_of(0.5), odds(0.5));
}

TEST(DepthRouter, APredictorsLossReachesThePredictorAlone) {
  const auto router = router_of({.capacity = 0.25}, torch::kFloat64);
  Context ctx = context();
  const Tensor x = stream(torch::kFloat64).set_requires_grad(true);
  decision_loss(router->forward(x, ctx)).backward();
  EXPECT_FALSE(x.grad().defined());
  EXPECT_FALSE(router->weight.grad().defined());
  for (const Tensor& p : router->predictor->parameters()) EXPECT_GT(largest(p.grad()), 0);
}

TEST(DepthRouter, WithDecodeRouterTheLossTrainsTheRouterThroughTheStream) {
  const auto router =
      router_of({.capacity = 0.25, .decode = CausalDecision::router}, torch::kFloat64);
  Context ctx = context();
  const Tensor x = stream(torch::kFloat64).set_requires_grad(true);
  decision_loss(router->forward(x, ctx)).backward();
  EXPECT_GT(largest(x.grad()), 0);
  EXPECT_GT(largest(router->weight.grad()), 0);
}

TEST(DepthRouter, CombinesWithTheFunctionOfTheScoreItIsTold) {
  const Tensor x = stream(torch::kFloat64);
  const double alpha = 0.3;
  const std::vector<std::pair<RouterWeight, std::function<Tensor(const Tensor&)>>> all = {
      {RouterWeight::raw, [](const Tensor& r) { return r; }},
      {RouterWeight::sigmoid, [](const Tensor& r) { return 1 / (1 + (-r).exp()); }},
      {RouterWeight::tanh,
       [&](const Tensor& r) { return 1 + alpha * ((2 * r).exp() - 1) / ((2 * r).exp() + 1); }}};
  for (const Routing routing : {Routing::training, Routing::inference}) {
    for (const auto& [kind, of] : all) {
      const RouteConfig config{
          .capacity = 0.25, .weight = kind, .tanh_alpha = alpha, .decode = CausalDecision::router};
      const auto router = router_of(config, torch::kFloat64);
      Context ctx = context(routing);
      const Route route = router->forward(x, ctx);
      expect_same("weight", route.weight, of(scores(x, *router).index_select(0, route.token)));
      const Tensor leaf = x.clone().set_requires_grad(true);
      const Route again = router->forward(leaf, ctx);
      again.weight.sum().backward();
      const Tensor copy = x.clone().set_requires_grad(true);
      of(copy.mv(router->weight.detach()).index_select(0, again.token)).sum().backward();
      expect_same("d_x", leaf.grad(), copy.grad());
      EXPECT_GT(largest(router->weight.grad()), 0);
    }
    const auto router = router_of({.weight = RouterWeight::none});
    Context ctx = context(routing);
    EXPECT_FALSE(router->forward(stream(), ctx).weight.defined());
  }
}

TEST(DepthRouter, RandomScoresAreWeightAndChoice) {
  const auto router = router_of({.choice = ChoiceKind::random, .capacity = 0.3});
  Context ctx = context();
  ctx.round = 2;
  const Tensor x = stream();
  const Tensor z = random_scores(kName, ctx.rows, 3, 2);
  const Route route = router->forward(x, ctx);
  EXPECT_TRUE(same_bits(route.logits, z));
  EXPECT_EQ(elements<int32_t>(route.token),
            elements<int32_t>(choose_top(kName, z, ctx.rows, 0.3).token));
  EXPECT_TRUE(same_bits(route.weight, z.index_select(0, route.token)));

  ctx.routing = Routing::inference;
  const Route causal = router->forward(x, ctx);
  std::vector<int32_t> want;
  for (int32_t t = 0; t < z.size(0); ++t)
    if (z[t].item<double>() > -inverse_normal(0.3)) want.push_back(t);
  EXPECT_EQ(elements<int32_t>(causal.token), want);
  EXPECT_TRUE(same_bits(causal.weight, z.index_select(0, causal.token)));
}

TEST(DepthRouter, AThresholdMovesInTrainingAloneAndDecidesAfterwards) {
  const RouteConfig config{
      .choice = ChoiceKind::threshold, .capacity = 0.25, .threshold_rate = 0.1};
  const auto router = router_of(config, torch::kFloat64);
  const Tensor x = stream(torch::kFloat64);
  const auto boundary = [&](const Tensor& at) {
    return boundary_score(scores(at, *router), context().rows, 0.25).item<double>();
  };
  for (const Routing routing : {Routing::training, Routing::inference}) {
    Context ctx = context(routing, /*training=*/false);
    router->forward(x, ctx);
    EXPECT_EQ(largest(router->threshold), 0);
  }
  Context ctx = context(Routing::training, /*training=*/true);
  const Route route = router->forward(x, ctx);
  EXPECT_EQ(elements<int32_t>(route.token),
            elements<int32_t>(choose_top(kName, scores(x, *router), ctx.rows, 0.25).token));
  // The first boundary whole, of others a tenth.
  double want = boundary(x);
  expect_same("first", router->threshold, torch::tensor({want, 1.0}, torch::kFloat64));
  router->forward(2 * x, ctx);
  want += 0.1 * (boundary(2 * x) - want);
  expect_same("second", router->threshold, torch::tensor({want, 1.0}, torch::kFloat64));

  Context after = context(Routing::inference);
  const Route causal = router->forward(x, after);
  EXPECT_EQ(elements<int32_t>(causal.token),
            elements<int32_t>(choose_above_zero(scores(x, *router) - want, after.rows).token));
  EXPECT_GT(causal.token.size(0), 0);
  expect_same("still", router->threshold, torch::tensor({want, 1.0}, torch::kFloat64));
}

// What is no number neither moves the threshold nor counts as its first value.
TEST(DepthRouter, AThresholdIsNotMovedByWhatIsNoNumber) {
  const auto router =
      router_of({.choice = ChoiceKind::threshold, .capacity = 0.25}, torch::kFloat64);
  const Tensor x = stream(torch::kFloat64), bad = torch::full_like(x, std::nan(""));
  Context ctx = context(Routing::training, /*training=*/true);
  router->forward(bad, ctx);
  EXPECT_EQ(largest(router->threshold), 0);
  router->forward(x, ctx);
  const double first = boundary_score(scores(x, *router), ctx.rows, 0.25).item<double>();
  expect_same("first", router->threshold, torch::tensor({first, 1.0}, torch::kFloat64));
  router->forward(bad, ctx);
  expect_same("kept", router->threshold, torch::tensor({first, 1.0}, torch::kFloat64));
  Context empty = ctx;
  empty.rows.valid = torch::zeros({x.size(0)}, torch::kBool);
  router->forward(x, empty);
  expect_same("kept", router->threshold, torch::tensor({first, 1.0}, torch::kFloat64));
}

// Whatever it is told otherwise, and whatever a row scores: padding too, for nobody sees it.
TEST(DepthRouter, AtCapacityOneEveryRowEntersInEveryPhase) {
  for (RouteConfig config : all_options()) {
    config.capacity = 1;
    const auto router = router_of(config);
    for (const Routing routing : {Routing::training, Routing::inference}) {
      for (const bool training : {false, true}) {
        for (const bool padded : {false, true}) {
          Context ctx = context(routing, training);
          if (padded) ctx.rows.valid = ctx.rows.position.lt(5);
          const Route route = router->forward(stream(), ctx);
          EXPECT_EQ(elements<int32_t>(route.token),
                    elements<int32_t>(torch::arange(kSequences * kLength, torch::kInt32)));
          EXPECT_FALSE(route.decision.defined());
          if (config.weight == RouterWeight::raw) {
            EXPECT_TRUE(same_bits(route.weight, route.logits));
          }
        }
      }
    }
    if (router->threshold.defined()) {
      EXPECT_EQ(largest(router->threshold), 0);
    }
  }
}

TEST(DepthRouter, AScheduledCapacityIsTheOneOfTheStep) {
  for (RouteConfig config : all_options()) {
    config.capacity = 0.25;
    config.capacity_schedule = {1.0, 8, 4};  // 1, 0.75, 0.5, then 0.25
    const auto router = router_of(config);
    const std::vector<std::pair<int64_t, double>> all = {
        {0, 1}, {2, 1}, {3, 0.75}, {5, 0.75}, {6, 0.5}, {7, 0.5}, {8, 0.25}, {1000, 0.25}};
    for (const auto& [step, capacity] : all) {
      Context ctx = context();
      ctx.step = step;
      const Route route = router->forward(stream(), ctx);
      EXPECT_DOUBLE_EQ(route.capacity, capacity) << step;
      EXPECT_EQ(route.token.size(0), kSequences * slots_of(capacity, kLength));
      EXPECT_DOUBLE_EQ(router->capacity(step), capacity);
      if (config.choice != ChoiceKind::random) continue;
      ctx.routing = Routing::inference;
      const Route causal = router->forward(stream(), ctx);
      const int64_t want = capacity >= 1
                               ? kSequences * kLength
                               : causal.logits.gt(-inverse_normal(capacity)).sum().item<int64_t>();
      EXPECT_EQ(causal.token.size(0), want) << step;
    }
  }
}

// Scores of a bfloat16 stream are float32 sums of its elements: these four rows differ by less than
// bfloat16 can say.
TEST(DepthRouter, StaysFloat32WithABfloat16Stream) {
  for (const CausalDecision decode : {CausalDecision::predictor, CausalDecision::router}) {
    const auto router = router_of({.capacity = 0.5, .decode = decode});
    {
      const torch::NoGradGuard no_grad;
      router->weight.fill_(1);
      if (router->predictor) {
        Predictor& p = *router->predictor;
        p.hidden.set_data(p.hidden.to(torch::kBFloat16));
        p.hidden_bias.set_data(p.hidden_bias.to(torch::kBFloat16));
      }
    }
    Tensor x = torch::zeros({4, kSize}, torch::kBFloat16);
    x.slice(1, 0, 1).fill_(64.0);
    for (int64_t t = 0; t < 4; ++t) x[t][1 + t] = std::vector<double>{0.01, 0.03, 0.02, 0.04}[t];
    x.set_requires_grad(true);
    Context ctx{.rows = uniform_rows(1, 4, torch::kCPU)};
    const Route route = router->forward(x, ctx);
    EXPECT_EQ(elements<int32_t>(route.token), (std::vector<int32_t>{1, 3}));
    EXPECT_TRUE(route.logits.to(torch::kBFloat16).eq(64).all().item<bool>());
    for (const Tensor& made : {route.logits, route.weight, route.decision})
      EXPECT_EQ(made.scalar_type(), torch::kFloat32);
    const Tensor want = x.detach().to(torch::kFloat64).sum(1);
    expect_within("logits", route.logits, want,
                  torch::full({4}, 64.1 * 4 * std::sqrt(8.0) * 0x1p-23, torch::kFloat64));
    (route.weight.sum() + route.decision.sum()).backward();
    EXPECT_EQ(x.grad().scalar_type(), torch::kBFloat16);
    EXPECT_EQ(router->weight.grad().scalar_type(), torch::kFloat32);
  }
}

TEST(DepthRouter, ARowThatIsNoNumberRanksLowestAndLeavesTheOthersAlone) {
  const auto router = router_of({.capacity = 0.5, .decode = CausalDecision::router});
  Tensor x = stream();
  x[3].fill_(std::nan(""));
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    Context ctx = context();
    const Route route = router->forward(x, ctx);
    const auto token = elements<int32_t>(route.token);
    EXPECT_EQ(std::count(token.begin(), token.end(), 3), 0);
    EXPECT_EQ(std::count(token.begin(), token.end(), kEmpty), 0);
    EXPECT_TRUE(route.weight.isfinite().all().item<bool>());
    EXPECT_TRUE(route.logits[3].isnan().item<bool>());
  }
}

}  // namespace
}  // namespace pointwork::test
