// Experts in the mlp, and what a routed branch of token choice never touches.

#include <gtest/gtest.h>

#include "pointwork/decode/generate.h"
#include "pointwork/nn/mlp.h"
#include "tests/support/lively.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

Routed& routed_of(Model& model, size_t layer = 1) {
  for (const auto& module : model.layers()[layer]->modules()) {
    if (auto* routed = dynamic_cast<Routed*>(module.get())) return *routed;
  }
  fail("layer ", layer, " routes nothing");
}

Config switch_config(const std::string& more, const std::string& mlp = "") {
  return small_config(
      "[branch.attention]\nkind = \"attention\"\n[branch.mlp]\nkind = \"mlp\"\n" + mlp +
          "[branch.experts]\nkind = \"routed\"\nof = \"mlp\"\nroute = { choice = \"token\", " +
          more + " }\n",
      "layers = [\"mlp\", \"experts\"]");
}

Tensor stream(torch::Dtype dtype = torch::kFloat32) { return normal({48, 32}, 5, dtype); }

// huggingface/transformers #37017 and #48293: a dropped row gets exactly nothing, and overflow is
// enforced.
TEST(Experts, ADroppedRowIsExactlyTheResidual) {
  const auto model =
      lively_model(switch_config("num_experts = 4, eval_capacity_factor = 0.25, min_capacity = 1"));
  Routed& routed = routed_of(*model);
  const Tensor x = stream();
  Context ctx{.rows = uniform_rows(2, 24, torch::kCPU)};
  const Output out = routed.add_to(x, ctx), alone = routed.forward(x, ctx);
  const Route& route = out.routes.at(0);
  EXPECT_EQ(route.token.size(0), 4 * 3);
  const Tensor kept = route.row_offset.slice(0, 1).gt(route.row_offset.slice(0, 0, -1));
  EXPECT_LE(kept.sum().item<int64_t>(), 12);
  for (int64_t t = 0; t < 48; ++t) {
    EXPECT_EQ(same_bits(out.delta[t], x[t]), !kept[t].item<bool>());
    EXPECT_EQ(largest(alone.delta[t]) == 0, !kept[t].item<bool>());
  }
}

// #33969: noise is for the router's copy. With a router of zeros scores do not see it.
TEST(Experts, NeverReadTheRoutersNoise) {
  for (const std::string kind : {"jitter", "dropout"}) {
    const auto model =
        lively_model(switch_config("num_experts = 4, dropless = true, exploration = \"" + kind +
                                   "\", exploration_amount = 0.5"));
    Routed& routed = routed_of(*model);
    routed.router->weight.data().zero_();
    Context calm{.rows = uniform_rows(2, 24, torch::kCPU)}, noisy = calm;
    noisy.training = true;
    EXPECT_TRUE(
        same_bits(routed.forward(stream(), calm).delta, routed.forward(stream(), noisy).delta));
  }
}

// An expert that nobody chose is not read, nor has it a gradient; a no-op reads none.
TEST(Experts, ThatNobodyChoseAreNotRead) {
  const auto model = lively_model(switch_config("num_experts = 3, num_noop = 1, dropless = true"));
  Routed& routed = routed_of(*model);
  auto& mlp = dynamic_cast<Mlp&>(*routed.body);
  {
    const torch::NoGradGuard no_grad;
    routed.router->weight.zero_();
    routed.router->weight[1].fill_(1);
    routed.router->weight[3].fill_(-1);
  }
  Tensor x = stream().abs();
  Context ctx{.rows = uniform_rows(2, 24, torch::kCPU)};
  const Output out = routed.forward(x, ctx);
  out.delta.sum().backward();
  const auto chosen = elements<int32_t>(out.routes.at(0).choice);
  const std::set<int32_t> experts(chosen.begin(), chosen.end());
  ASSERT_EQ(experts.count(0) + experts.count(2), 0u);
  ASSERT_EQ(experts.size(), 2u);
  for (const int64_t e : {0, 2}) {
    EXPECT_EQ(largest(mlp.up.grad()[e]), 0);
    EXPECT_EQ(largest(mlp.down.grad()[e]), 0);
    mlp.up.data()[e].fill_(std::nan(""));
    mlp.down.data()[e].fill_(std::nan(""));
  }
  EXPECT_GT(largest(mlp.up.grad()[1]), 0);
  EXPECT_TRUE(same_bits(routed.forward(x, ctx).delta, out.delta));
}

// The weight stands at the output: E(p · x) would be another number, as an mlp is not linear.
TEST(Experts, AreWeighedAtTheirOutput) {
  const auto model = lively_model(switch_config("num_experts = 1, num_noop = 1, dropless = true"),
                                  torch::kFloat64);
  Routed& routed = routed_of(*model);
  const Tensor x = stream(torch::kFloat64);
  Context ctx{.rows = uniform_rows(2, 24, torch::kCPU), .routing = Routing::inference};
  const Output out = routed.forward(x, ctx);
  const Tensor all = routed.body->forward(routed.norm->forward(x), ctx).delta;
  const Route& route = out.routes.at(0);
  for (int64_t t = 0; t < 48; ++t) {
    const bool in = route.choice[t][0].item<int32_t>() == 0;
    const Tensor want = in ? route.probability[t][0] * all[t] : torch::zeros_like(all[t]);
    EXPECT_LE((out.delta[t] - want).abs().max().item<double>(), 1e-12);
  }
}

// T5X's expert dropout: on the values between the projections, of experts alone where theirs alone
// has it.
TEST(Experts, DropValuesInTrainingByRowAndExpert) {
  const auto model = lively_model(switch_config(
      "num_experts = 2, top_k = 2, weight = \"none\", dropless = true, exploration = \"none\"",
      "[branch.thin]\nkind = \"mlp\"\nintermediate_size = 26\ndropout = 0.4\n"));
  Config config = model->config();
  std::get<RoutedConfig>(config.branch.at("experts").form).of = "thin";
  const auto dropping = lively_model(config);
  Routed& routed = routed_of(*dropping);
  Context calm{.rows = uniform_rows(2, 24, torch::kCPU)}, train = calm;
  train.training = true;
  const Tensor x = stream();
  const Tensor still = routed.forward(x, calm).delta;
  EXPECT_TRUE(same_bits(still, routed.forward(x, calm).delta));
  const Tensor first = routed.forward(x, train).delta;
  EXPECT_TRUE(same_bits(first, routed.forward(x, train).delta));
  EXPECT_FALSE(first.equal(still));
  train.step = 1;
  EXPECT_FALSE(first.equal(routed.forward(x, train).delta));
  // Whoever stands beside a row: its draw is its own.
  train.step = 0;
  Context alone{.rows = uniform_rows(1, 24, torch::kCPU)};
  alone.training = true;
  EXPECT_TRUE(same_bits(first.slice(0, 0, 24), routed.forward(x.slice(0, 0, 24), alone).delta));
  // Kept on average.
  Tensor mean = torch::zeros_like(still);
  constexpr int kSteps = 400;
  for (train.step = 0; train.step < kSteps; ++train.step)
    mean += routed.forward(x, train).delta / kSteps;
  EXPECT_LE((mean - still).abs().mean().item<double>(), 0.1 * still.abs().mean().item<double>());
  // The dense mlp beside them has none.
  Context other = train;
  EXPECT_TRUE(same_bits(dropping->layers()[0]->forward(x, calm).delta,
                        dropping->layers()[0]->forward(x, other).delta));
}

TEST(Experts, KeepTheirRoutersInFloat32) {
  const auto model = lively_model(config_named("moe_bias"), torch::kBFloat16);
  for (const auto& router : routers_of(*model)) {
    EXPECT_EQ(router->weight.scalar_type(), torch::kFloat32);
    EXPECT_EQ(dynamic_cast<TokenRouter&>(*router).bias.scalar_type(), torch::kFloat32);
  }
  EXPECT_EQ(dynamic_cast<Mlp&>(*routed_of(*model).body).up.scalar_type(), torch::kBFloat16);
}

}  // namespace
}  // namespace pointwork::test
