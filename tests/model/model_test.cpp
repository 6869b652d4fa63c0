// The model against the same model in plain loops, and its gradient against differences of it.

#include "pointwork/model/model.h"

#include <gtest/gtest.h>

#include "pointwork/route/losses.h"
#include "tests/model/reference.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

// Options that no config of the laws has.
std::vector<NamedConfig> configs() {
  std::vector<NamedConfig> all = every_config();
  const std::string rest = R"(
[branch.attention]
kind = "attention"
num_attention_heads = 4
num_key_value_heads = 1
scale = 0.3
rope_theta = 500.0
qk_norm = "projection"
output_bias = true
output_norm = true
[branch.relu]
kind = "mlp"
hidden_act = "relu"
output_norm = true
[branch.gelu]
kind = "mlp"
hidden_act = "gelu"
intermediate_size = 20
[branch.one]
kind = "chain"
of = ["attention", "relu", "attention", "gelu", "relu"]
)";
  all.push_back({"other_options", small_config(rest, "layers = [\"one\"]\nnorm_bias = false\n")});
  return all;
}

// Those whose loops are written here; of experts they stand in tests/nn/reference_experts.h.
std::vector<NamedConfig> without_experts() {
  std::vector<NamedConfig> all = configs();
  std::erase_if(all, [](const NamedConfig& one) {
    return std::any_of(one.config.branch.begin(), one.config.branch.end(), [](const auto& item) {
      const auto* routed = std::get_if<RoutedConfig>(&item.second.form);
      return routed && (routed->route.by_token() || routed->route.num_experts > 1);
    });
  });
  return all;
}

class AgainstLoops : public ::testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(Model, AgainstLoops, ::testing::ValuesIn(without_experts()), name_of);

TEST_P(AgainstLoops, LogitsAreWhatTheArchitectureSays) {
  const bool skips = skips_rows(GetParam().config);
  for (const torch::Dtype dtype : {torch::kFloat64, torch::kFloat32}) {
    const auto model = lively_model(GetParam().config, dtype);
    for (const Routing routing : {Routing::training, Routing::inference}) {
      for (const int64_t step : {int64_t{4}, kSettled}) {
        const Tokens tokens = {random_tokens(24, 91), random_tokens(24, 92)};
        const Ragged batch = uniform(tokens);
        const Seen got = look(*model, batch, routing, nullptr, step);
        const double tolerance = tolerance_of(got.logits);
        for (size_t b = 0; b < tokens.size(); ++b) {
          ReferenceModel reference(*model, routing, step, 100 + static_cast<int64_t>(b), 5);
          const Matrix want = reference.forward(tokens[b]);
          double worst = 0;
          for (size_t t = 0; t < want.size(); ++t) {
            const Tensor row = got.logits[static_cast<int64_t>(b * 24 + t)].to(torch::kFloat64);
            for (size_t v = 0; v < want[t].size(); ++v)
              worst = std::max(worst, std::abs(row.data_ptr<double>()[v] - want[t][v]));
          }
          EXPECT_LE(worst, tolerance) << torch::toString(dtype) << ", sequence " << b;
          if (skips && step == kSettled) {
            EXPECT_GT(reference.entered, 0u);
            EXPECT_GT(reference.passed, 0u);
          }
        }
      }
    }
  }
}

// A straight-through weight has a gradient that is no difference quotient, by design.
std::vector<NamedConfig> differentiable() {
  std::vector<NamedConfig> all = configs();
  std::erase_if(all, [](const NamedConfig& one) {
    bool straight = false;
    for_each_route(one.config, [&](const RouteConfig& route) {
      straight = straight || route.weight == RouterWeight::ste;
    });
    return straight;
  });
  return all;
}

// Tokens none of whose choices is near its edge, where there is no difference quotient.
Ragged decided_tokens(Model& model) {
  for (uint64_t key = 93;; key += 100) {
    const Ragged batch = uniform({random_tokens(24, key), random_tokens(24, key + 1)});
    double margin = 1;
    for (const Tensor& one : look(model, batch, Routing::training).margins)
      if (one.defined()) margin = std::min(margin, one.min().item<double>());
    if (margin > 1e-3) return batch;
  }
}

class Gradient : public ::testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(Model, Gradient, ::testing::ValuesIn(differentiable()), name_of);

// A scalar of the output; `deciding` adds the loss of the causal decisions, which reaches them
// alone.
Tensor objective(Model& model, const Ragged& batch, bool deciding) {
  Context ctx{.rows = batch.rows, .step = kSettled, .seed = 5};
  const ModelOutput out = model.forward(batch.token, ctx);
  const Tensor logits = at::mm(out.hidden, model.head().t());
  Tensor sum =
      (logits * torch::linspace(-1, 1, logits.numel(), torch::kFloat64).view_as(logits)).sum();
  for (const Route& route : out.routes) {
    if (deciding && route.capacity < 1) sum = sum + decision_loss(route);
  }
  return sum;
}

// Along a random direction of each weight, in float64. D(h) − D(h/2) is three quarters of the error
// of D(h), so it bounds that of D(h/2) threefold; besides, each difference has the roundings of two
// objectives, sums of √N independent ones, over h.
TEST_P(Gradient, IsThatOfCentralDifferences) {
  Config config = GetParam().config;
  for (auto& [name, branch] : config.branch) {  // a kink has no difference quotient
    auto* mlp = std::get_if<MlpConfig>(&branch.form);
    if (mlp && mlp->hidden_act == Activation::relu) mlp->hidden_act = Activation::gelu;
  }
  const auto model = lively_model(config, torch::kFloat64);
  const Ragged batch = decided_tokens(*model);
  const Tensor logits = look(*model, batch, Routing::training).logits;
  const double rounding = tolerance_of(logits) * std::sqrt(static_cast<double>(logits.numel()));
  for (auto& item : model->named_parameters()) {
    Tensor& weight = item.value();
    const bool predictor = is_predictor(item.key());
    for (Tensor& p : model->parameters()) p.mutable_grad().reset();
    objective(*model, batch, predictor).backward();
    const torch::NoGradGuard no_grad;
    Tensor direction = torch::empty_like(weight);
    for (int64_t i = 0; i < direction.numel(); ++i)
      direction.data_ptr<double>()[i] = random_normal(stream_key(9, item.key()), i);
    direction /= direction.norm();
    const Tensor before = weight.clone();
    const auto difference = [&](double h) {
      weight.copy_(before + h * direction);
      const double above = objective(*model, batch, predictor).item<double>();
      weight.copy_(before - h * direction);
      const double below = objective(*model, batch, predictor).item<double>();
      weight.copy_(before);
      return (above - below) / (2 * h);
    };
    const double h = 1e-4, coarse = difference(h), fine = difference(h / 2);
    if (!weight.grad().defined()) {
      // Only where nobody asks it.
      EXPECT_TRUE(item.key().find(".router.") != std::string::npos) << item.key();
      EXPECT_EQ(coarse, 0) << item.key();
      continue;
    }
    const double got = (weight.grad() * direction).sum().item<double>();
    EXPECT_NEAR(got, fine, std::abs(coarse - fine) + rounding / h) << item.key();
  }
}

TEST(Model, RowsAndTokensMustAgree) {
  const auto model = lively_model(config_named("dense"));
  Ragged batch = ragged({random_tokens(5, 1)});
  batch.token = batch.token.slice(0, 0, 4);
  Context ctx{.rows = batch.rows};
  EXPECT_THROW(model->forward(batch.token, ctx), Error);
}

}  // namespace
}  // namespace pointwork::test
