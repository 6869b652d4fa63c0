// Where weights start, and in what type they are kept.

#include <gtest/gtest.h>

#include <set>

#include "pointwork/route/router_features.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

std::map<std::string, Tensor> started(const Config& config, uint64_t seed = 1) {
  Model model(config);
  initialise(model, seed);
  std::map<std::string, Tensor> weights;
  for (const auto& item : model.named_parameters()) weights[item.key()] = item.value().detach();
  return weights;
}

void expect_shared_names_equal(const std::map<std::string, Tensor>& a,
                               const std::map<std::string, Tensor>& b, size_t at_least) {
  size_t shared = 0;
  for (const auto& [name, tensor] : a) {
    const auto found = b.find(name);
    if (found == b.end()) continue;
    ++shared;
    EXPECT_TRUE(tensor.equal(found->second)) << name;
  }
  EXPECT_GE(shared, at_least);
}

TEST(Initialise, EachWeightDependsOnItsNameAndTheSeedAlone) {
  const auto predictor = started(config_named("mod_predictor"));
  const auto router = started(config_named("mod_router"));
  EXPECT_GT(predictor.size(), router.size());
  expect_shared_names_equal(predictor, router, router.size());
  // Two layers more, or a wider vocabulary elsewhere, move nothing before them; llama, since gpt2's
  // scale knows the depth.
  Config config = config_named("mod_modern");
  const auto four = started(config);
  config.model.num_hidden_layers = 6;
  expect_shared_names_equal(four, started(config), four.size());

  const auto again = started(config_named("mod_predictor"));
  expect_shared_names_equal(predictor, again, predictor.size());
  for (const auto& [name, tensor] : started(config_named("mod_predictor"), 2)) {
    const bool drawn = tensor.dim() > 1 || name.find("router.weight") != std::string::npos ||
                       name.find("predictor.output") == name.size() - 16;
    EXPECT_EQ(tensor.equal(predictor.at(name)), !drawn) << name;
  }
  EXPECT_FALSE(
      predictor.at("layers.0.attention.qkv").equal(predictor.at("layers.2.attention.qkv")));
}

TEST(Initialise, ThreadsChangeNothing) {
  Config config = config_named("dense");
  config.model.vocab_size = 3000;
  at::set_num_threads(2);
  const auto two = started(config);
  at::set_num_threads(1);
  expect_shared_names_equal(two, started(config), two.size());
}

// Standard deviation of n draws within 5 of its own.
void expect_normal(const std::string& name, const Tensor& weight, double scale) {
  const auto n = static_cast<double>(weight.numel());
  EXPECT_NEAR(weight.std(false).item<double>(), scale, 5 * scale / std::sqrt(2 * n)) << name;
  EXPECT_NEAR(weight.mean().item<double>(), 0, 5 * scale / std::sqrt(n)) << name;
}

TEST(Initialise, ScalesAreThoseOfGpt2AndLlama) {
  for (const bool llama : {false, true}) {
    Config config = config_named("mod_modern");
    config.model.initializer = llama ? Initializer::llama : Initializer::gpt2;
    config.model.initializer_range = 0.05;
    std::get<RoutedConfig>(config.branch.at("mod").form).route.initializer_range = 0.3;
    const auto weights = started(config);
    std::set<std::string> rules;
    for (const auto& [name, weight] : weights) {
      const auto ends = [&, &name = name](const std::string& end) {
        return name.size() >= end.size() && name.substr(name.size() - end.size()) == end;
      };
      if (ends("predictor.hidden")) {
        expect_normal(name, weight, 1 / std::sqrt(32.0));
        rules.insert("hidden");
      } else if (ends("predictor.output")) {
        expect_normal(name, weight, 1 / std::sqrt(16.0));
        rules.insert("output");
      } else if (ends("predictor.output_bias")) {
        // The prior odds of a quarter.
        EXPECT_FLOAT_EQ(weight.item<float>(), static_cast<float>(std::log(0.25 / 0.75)));
        rules.insert("odds");
      } else if (ends("router.weight")) {
        expect_normal(name, weight, 0.3);
        rules.insert("router");
      } else if (ends("_bias") || ends(".bias")) {
        EXPECT_TRUE(weight.eq(0).all().item<bool>()) << name;
        rules.insert("bias");
      } else if (ends("norm.weight") || ends("_norm")) {
        EXPECT_TRUE(weight.eq(1).all().item<bool>()) << name;
        rules.insert("norm");
      } else {
        const bool residual = ends(".output") || ends(".down");
        expect_normal(name, weight, residual && !llama ? 0.05 / std::sqrt(2.0 * 4) : 0.05);
        rules.insert(residual ? "residual" : "plain");
      }
    }
    EXPECT_EQ(rules.size(), 8u);
  }
}

std::map<std::string, torch::Dtype> dtypes_of(const Model& model) {
  std::map<std::string, torch::Dtype> types;
  for (const auto& item : model.named_parameters()) types[item.key()] = item.value().scalar_type();
  return types;
}

TEST(Convert, RoutersStayFloat32) {
  for (const char* name : {"mod_predictor", "mod_threshold", "mod_nested"}) {
    const auto model = lively_model(config_named(name), torch::kBFloat16);
    for (const auto& [weight, type] : dtypes_of(*model)) {
      const bool decides = weight.find(".router.") != std::string::npos &&
                           weight.find(".predictor.hidden") == std::string::npos;
      EXPECT_EQ(type, decides ? torch::kFloat32 : torch::kBFloat16) << weight;
    }
    for (const auto& item : model->named_buffers())
      EXPECT_EQ(item.value().scalar_type(), torch::kFloat32) << item.key();
    const Seen seen =
        look(*model, uniform({random_tokens(24, 1), random_tokens(24, 2)}), Routing::training);
    EXPECT_TRUE(seen.logits.isfinite().all().item<bool>());
    EXPECT_EQ(seen.logits.scalar_type(), torch::kBFloat16);
    for (const Route& route : seen.routes) EXPECT_EQ(route.logits.scalar_type(), torch::kFloat32);
  }
}

TEST(Convert, ThereAndBackIsWhereItWas) {
  const auto model = lively_model(config_named("mod_predictor"));
  const auto before = started(model->config());
  std::map<std::string, Tensor> weights;
  for (const auto& item : model->named_parameters()) weights[item.key()] = item.value().clone();
  convert(*model, torch::kFloat64, torch::kCPU);
  for (const auto& [name, type] : dtypes_of(*model)) EXPECT_EQ(type, torch::kFloat64) << name;
  convert(*model, torch::kFloat32, torch::kCPU);
  for (const auto& item : model->named_parameters()) {
    EXPECT_EQ(item.value().scalar_type(), torch::kFloat32) << item.key();
    EXPECT_TRUE(item.value().equal(weights.at(item.key()))) << item.key();
  }
}

// A router's features start as the router does, stay float32, and are no matrix to weight decay.
TEST(Initialise, FeaturesAreTheRouters) {
  Config config = config_named("mod_predictor");
  std::get<RoutedConfig>(config.branch.at("mod").form).route.initializer_range = 0.3;
  Model model(config);
  using Kind = FeatureOptions::Kind;
  const auto routers = routers_of(model);
  ASSERT_EQ(routers.size(), 2u);
  routers[0]->register_module("features", make_features({.kind = Kind::mlp, .size = 40}, 32));
  routers[1]->register_module("features",
                              make_features({.kind = Kind::gru, .size = 20, .projected = 16}, 32));
  initialise(model, 1);
  int64_t drawn = 0, biases = 0;
  for (const auto& item : model.named_parameters()) {
    const std::string& name = item.key();
    EXPECT_EQ(is_feature(name), name.find(".router.features.") != std::string::npos) << name;
    if (!is_feature(name)) continue;
    EXPECT_FALSE(is_matrix(name, item.value())) << name;
    if (name.ends_with("_bias")) {
      EXPECT_TRUE(item.value().eq(0).all().item<bool>()) << name;
      ++biases;
    } else {
      expect_normal(name, item.value(), 0.3);
      ++drawn;
    }
  }
  EXPECT_EQ(drawn, 4);
  EXPECT_EQ(biases, 3);

  convert(model, torch::kBFloat16, torch::kCPU);
  for (const auto& [name, type] : dtypes_of(model))
    EXPECT_EQ(type == torch::kFloat32, is_feature(name) || name.ends_with(".router.weight") ||
                                           name.find(".predictor.output") != std::string::npos)
        << name;
  convert(model, torch::kFloat64, torch::kCPU);
  for (const auto& [name, type] : dtypes_of(model)) EXPECT_EQ(type, torch::kFloat64) << name;
}

TEST(Initialise, ABranchNamedFeaturesHasNone) {
  EXPECT_FALSE(is_feature("layers.0.features.up"));
  EXPECT_FALSE(is_feature("layers.0.features.qkv_bias"));
  EXPECT_FALSE(is_feature("layers.0.features.router.predictor.hidden"));
  EXPECT_TRUE(is_feature("layers.0.features.router.features.hidden"));
  EXPECT_TRUE(is_feature("layers.0.attention.router.features.recurrent_bias"));
}

// Branches may be called what they like.
TEST(Convert, ABranchNamedLikeARouterIsABranch) {
  const Config config = small_config(R"(
[branch.predictor]
kind = "attention"
num_attention_heads = 4
[branch.router]
kind = "mlp"
[branch.one]
kind = "chain"
of = ["predictor", "router"]
[branch.mod]
kind = "routed"
of = "one"
)",
                                     "layers = [\"one\", \"mod\"]");
  const auto weights = started(config);
  expect_normal("a predictor's qkv", weights.at("layers.0.predictor.qkv"), 0.02);
  expect_normal("a router's up", weights.at("layers.0.router.up"), 0.02);
  expect_normal("a predictor's output", weights.at("layers.0.predictor.output"),
                0.02 / std::sqrt(2.0 * 4));
  Model model(config);
  initialise(model, 1);
  convert(model, torch::kBFloat16, torch::kCPU);
  const auto types = dtypes_of(model);
  EXPECT_EQ(types.at("layers.0.predictor.qkv"), torch::kBFloat16);
  EXPECT_EQ(types.at("layers.0.router.up"), torch::kBFloat16);
  EXPECT_EQ(types.at("layers.1.body.router.up"), torch::kBFloat16);
  EXPECT_EQ(types.at("layers.1.router.weight"), torch::kFloat32);
  EXPECT_FALSE(is_predictor("layers.0.predictor.qkv"));
  EXPECT_TRUE(is_predictor("layers.1.router.predictor.hidden"));
  EXPECT_TRUE(look(model, ragged({random_tokens(9, 1)}), Routing::inference)
                  .logits.isfinite()
                  .all()
                  .item<bool>());
}

}  // namespace
}  // namespace pointwork::test
