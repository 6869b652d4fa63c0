#include "pointwork/model/upcycle.h"

#include <cmath>
#include <set>
#include <tuple>

#include "tests/support/lively.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

const std::string kLayers = "layers = [\"dense\"]";

Config dense_config(const std::string& mlp = "", const std::string& model_keys = "") {
  return small_config(kDense + mlp, kLayers + "\n" + model_keys);
}

const RoutedConfig& routed(const Config& config, const std::string& name = "experts") {
  return std::get<RoutedConfig>(config.branch.at(name).form);
}

TEST(Upcycled, EveryOtherLayerHasExpertsWhereItHadTheMlp) {
  const Config dense = dense_config();
  const Config sparse = upcycled(dense, {.experts = 8});
  EXPECT_EQ(layer_names(sparse.model), (std::vector<std::string>{"dense", "moe", "dense", "moe"}));
  EXPECT_EQ(sparse.model.layers.repeat, (std::vector<std::string>{"dense", "moe"}));
  EXPECT_EQ(std::get<ChainConfig>(sparse.branch.at("moe").form).of,
            (std::vector<std::string>{"attention", "experts"}));
  const RouteConfig& route = routed(sparse).route;
  EXPECT_EQ(routed(sparse).of, "mlp");
  EXPECT_EQ(routed(sparse).norm, RoutedNorm::outside);
  EXPECT_EQ(route.choice, ChoiceKind::token);
  EXPECT_EQ(route.num_experts, 8);
  EXPECT_EQ(route.top_k, 1);
  EXPECT_EQ(route.weight, RouterWeight::ste);
  EXPECT_TRUE(route.dropless);
  EXPECT_EQ(remarks(sparse), remarks(dense));

  const Config two = upcycled(dense, {.experts = 4, .top_k = 2, .capacity_factor = 1.5});
  EXPECT_EQ(routed(two).route.weight, RouterWeight::renormalised);
  EXPECT_FALSE(routed(two).route.dropless);
  EXPECT_EQ(routed(two).route.capacity_factor, 1.5);
  EXPECT_EQ(remarks(two), remarks(dense));
}

TEST(Upcycled, LayersAreChosenByPeriodAndOffset) {
  const Config dense = dense_config();
  const auto names = [&](int64_t every, int64_t offset) {
    return layer_names(
        upcycled(dense, {.experts = 2, .layers = {.every = every, .offset = offset}}).model);
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(1, 0), (Names{"moe", "moe", "moe", "moe"}));
  EXPECT_EQ(names(2, 0), (Names{"moe", "dense", "moe", "dense"}));
  EXPECT_EQ(names(3, 2), (Names{"dense", "dense", "moe", "dense"}));
  // What no layer is any longer goes.
  EXPECT_EQ(
      upcycled(dense, {.experts = 2, .layers = {.every = 1, .offset = 0}}).branch.count("dense"),
      0u);
  EXPECT_EQ(error_of([&] { names(8, 5); }),
            "no layer is chosen: the model has 4, and the first would be layer 5");
  EXPECT_NE(error_of([&] { names(2, 2); }), "");
}

TEST(Upcycled, NamesThatAreTakenAreLeftAlone) {
  // Two kinds of layers, and the names that would be given.
  const Config dense = small_config(
      kDense +
          "[branch.experts]\nkind = \"mlp\"\nintermediate_size = 24\n[branch.moe]\nkind = "
          "\"chain\"\nof = [\"experts\", \"attention\"]\n",
      "layers = [\"dense\", \"moe\"]");
  const Config sparse = upcycled(dense, {.experts = 2, .layers = {.every = 1, .offset = 0}});
  const auto names = layer_names(sparse.model);
  EXPECT_EQ(names[0], names[2]);
  EXPECT_EQ(names[1], names[3]);
  EXPECT_NE(names[0], names[1]);
  const auto of = [&](const std::string& name) {
    return std::get<ChainConfig>(sparse.branch.at(name).form).of;
  };
  EXPECT_EQ(of(names[0])[0], "attention");
  EXPECT_EQ(routed(sparse, of(names[0])[1]).of, "mlp");
  EXPECT_EQ(of(names[1])[1], "attention");
  EXPECT_EQ(routed(sparse, of(names[1])[0]).of, "experts");
}

TEST(Upcycled, WhatCannotBeConvertedIsNamed) {
  const auto problem = [](const Config& config, const UpcycleOptions& options) {
    return error_of([&] { upcycled(config, options); });
  };
  const UpcycleOptions two{.experts = 2};
  EXPECT_EQ(problem(config_named("mod_predictor"), two),
            "branch.mod is routed already: only a dense model can be upcycled");
  EXPECT_EQ(problem(config_named("moe_shared"), two),
            "branch.experts is routed already: only a dense model can be upcycled");
  EXPECT_EQ(problem(small_config(kDense + "[branch.twice]\nkind = \"repeat\"\nof = \"dense\"\n",
                                 "layers = [\"dense\", \"twice\"]"),
                    two),
            "layer 1 is 'twice', of kind \"repeat\": only a chain with an mlp in it can have the "
            "mlp made experts");
  EXPECT_EQ(problem(small_config(kDense + "[branch.wide]\nkind = \"parallel\"\nof = "
                                          "[\"attention\", \"mlp\"]\n[branch.around]\nkind = "
                                          "\"chain\"\nof = [\"wide\"]\n",
                                 "layers = [\"dense\", \"around\"]"),
                    two),
            "layer 1 is 'around', a chain that must have one mlp in it but has 0: 'wide' of kind "
            "\"parallel\"");
  EXPECT_EQ(problem(small_config(kDense + "[branch.more]\nkind = \"chain\"\nof = [\"mlp\", "
                                          "\"attention\", \"mlp\"]\n",
                                 "layers = [\"dense\", \"more\"]"),
                    two),
            "layer 1 is 'more', a chain that must have one mlp in it but has 2: 'mlp' of kind "
            "\"mlp\", 'attention' of kind \"attention\", 'mlp' of kind \"mlp\"");
  EXPECT_EQ(problem(dense_config(), {.experts = 1}),
            "[upcycle] experts must be at least 2 but are 1");
  EXPECT_NE(
      problem(dense_config(), {.experts = 2, .top_k = 3})
          .find("branch.experts.route.top_k is 3, more than there are choices: num_experts 2"),
      std::string::npos);
}

struct Case {
  std::string name, mlp, model_keys;
};

class Upcycle : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Kinds, Upcycle,
    testing::Values(Case{"gelu", "", ""},
                    Case{"swiglu", "hidden_act = \"swiglu\"\nintermediate_size = 40\n",
                         "norm = \"rmsnorm\"\ntie_word_embeddings = false\n"},
                    Case{"bias", "bias = true\n", ""},
                    Case{"everything",
                         "hidden_act = \"swiglu\"\nbias = true\noutput_norm = true\nintermediate_"
                         "size = 24\n",
                         "norm_bias = false\n"}),
    [](const auto& info) { return info.param.name; });

// At the first step the experts' model computes what the dense one did, whatever the router says:
// in another order of sums.
TEST_P(Upcycle, ComputesWhatTheDenseModelDid) {
  const Config config = dense_config(GetParam().mlp, GetParam().model_keys);
  const Tokens tokens = {random_tokens(24, 1), random_tokens(24, 2), random_tokens(24, 3)};
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kFloat64}) {
    const auto dense = lively_model(config, dtype);
    for (const auto& [experts, k, every] : {std::tuple{4, 1, 2}, {4, 2, 2}, {3, 3, 1}, {2, 1, 1}}) {
      const auto sparse = upcycle(*dense, {.experts = experts,
                                           .top_k = k,
                                           .layers = {.every = every, .offset = every - 1},
                                           .seed = 11});
      EXPECT_EQ(sparse->dtype(), dtype);
      EXPECT_EQ(routers_of(*sparse).size(), every == 1 ? 4u : 2u);
      {
        // Routers that decide, not the nearly even ones of the start.
        const torch::NoGradGuard no_grad;
        for (const auto& router : routers_of(*sparse)) router->weight.mul_(20);
      }
      for (const Routing routing : {Routing::training, Routing::inference}) {
        const Seen want = look(*dense, uniform(tokens), routing);
        const Seen got = look(*sparse, uniform(tokens), routing);
        EXPECT_LE((got.logits - want.logits).abs().max().item<double>(), tolerance_of(want.logits));
        for (const LayerTrace& layer : got.layers) {
          const std::set<int32_t> used(layer.choice.begin(), layer.choice.end());
          EXPECT_EQ(used.size(), static_cast<size_t>(experts)) << "all are tried";
        }
      }
    }
  }
}

TEST_P(Upcycle, RoutersAreFreshAndNoiseTellsExpertsApart) {
  const auto dense = lively_model(dense_config(GetParam().mlp, GetParam().model_keys));
  const UpcycleOptions options{.experts = 3, .noise = 0.05, .seed = 11};
  const auto noisy = upcycle(*dense, options), plain = upcycle(*dense, {.experts = 3, .seed = 11});
  const auto other = upcycle(*dense, {.experts = 3, .noise = 0.05, .seed = 12});
  const auto got = noisy->named_parameters(), without = plain->named_parameters(),
             seeded = other->named_parameters();
  for (const auto& item : got) {
    const Tensor& value = item.value();
    const bool router = item.key().find(".router.") != std::string::npos;
    const bool matrix = value.dim() == 3;
    EXPECT_EQ(same_bits(value, without[item.key()]), !matrix) << item.key();
    EXPECT_EQ(same_bits(value, seeded[item.key()]), !matrix && !router) << item.key();
    if (router) {
      // N(0, 0.02²): of 96 numbers the root mean square lies within 4 of its own deviations.
      const double rms = std::sqrt(value.square().mean().item<double>());
      EXPECT_NEAR(rms, 0.02, 4 * 0.02 / std::sqrt(2.0 * static_cast<double>(value.numel())));
    }
    if (!matrix) continue;
    const Tensor before = without[item.key()];
    EXPECT_TRUE(same_bits(before[0], before[2])) << "experts begin as copies";
    EXPECT_FALSE(value[0].equal(value[2]));
    const double rms = std::sqrt(before.square().mean().item<double>());
    const double moved = std::sqrt((value - before).square().mean().item<double>());
    EXPECT_NEAR(moved, 0.05 * rms,
                4 * 0.05 * rms / std::sqrt(2.0 * static_cast<double>(value.numel())));
  }
}

// The router learns from the language model's loss alone, at k = 1 too.
TEST(Upcycling, TheRouterHasAGradientAtOnce) {
  const auto dense = lively_model(dense_config());
  for (const int64_t k : {1, 2}) {
    const auto sparse = upcycle(*dense, {.experts = 3, .top_k = k, .noise = 0.1});
    const Ragged batch = uniform({random_tokens(24, 1)});
    Context ctx{.rows = batch.rows, .training = true};
    const ModelOutput out = sparse->forward(batch.token, ctx);
    sparse->logits(out.hidden).square().mean().backward();
    for (const auto& router : routers_of(*sparse))
      EXPECT_GT(router->weight.grad().abs().max().item<double>(), 0);
  }
}

TEST(Upcycling, Bfloat16KeepsItsTypes) {
  const auto sparse =
      upcycle(*lively_model(dense_config(), torch::kBFloat16), {.experts = 2, .noise = 0.01});
  for (const auto& item : sparse->named_parameters())
    EXPECT_EQ(item.value().scalar_type(),
              item.key().find(".router.") == std::string::npos ? torch::kBFloat16 : torch::kFloat32)
        << item.key();
}

}  // namespace
}  // namespace pointwork::test
