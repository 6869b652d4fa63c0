// The grammar made into modules: names, sharing, cache sites; and what can be counted before
// anything runs: parameters, FLOPs, cached bytes.

#include "pointwork/model/build.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

const std::string kLeaves = R"(
[branch.attention]
kind = "attention"
num_attention_heads = 4
[branch.mlp]
kind = "mlp"
)";

Model model_of(const std::string& body, const std::string& layers = "layers = [\"one\"]") {
  Config config = small_config(kLeaves + body, layers);
  config.model.num_hidden_layers = 2;
  return Model(config);
}

std::set<std::string> names_of(const Model& model) {
  std::set<std::string> names;
  for (const auto& item : model.named_parameters()) names.insert(item.key());
  return names;
}

TEST(Build, NamesFollowTheTree) {
  const Model model = model_of(R"(
[branch.one]
kind = "routed"
of = "block"
[branch.block]
kind = "chain"
of = ["attention", "again"]
[branch.again]
kind = "repeat"
of = "mlp"
)",
                               "layers = { first = [\"mlp\"], repeat = [\"one\"] }");
  EXPECT_EQ(names_of(model), (std::set<std::string>{"embedding",
                                                    "position",
                                                    "layers.0.norm.weight",
                                                    "layers.0.norm.bias",
                                                    "layers.0.up",
                                                    "layers.0.down",
                                                    "layers.1.router.weight",
                                                    "layers.1.router.predictor.hidden",
                                                    "layers.1.router.predictor.hidden_bias",
                                                    "layers.1.router.predictor.output",
                                                    "layers.1.router.predictor.output_bias",
                                                    "layers.1.body.attention.norm.weight",
                                                    "layers.1.body.attention.norm.bias",
                                                    "layers.1.body.attention.qkv",
                                                    "layers.1.body.attention.output",
                                                    "layers.1.body.again.body.norm.weight",
                                                    "layers.1.body.again.body.norm.bias",
                                                    "layers.1.body.again.body.up",
                                                    "layers.1.body.again.body.down",
                                                    "norm.weight",
                                                    "norm.bias"}));
}

TEST(Build, ANameUsedTwiceMakesFreshWeightsTwice) {
  for (const std::string kind : {"chain", "parallel"}) {
    Model model =
        model_of("[branch.one]\nkind = \"" + kind + "\"\nof = [\"mlp\", \"attention\", \"mlp\"]\n");
    initialise(model, 1);
    const auto weights = model.named_parameters();
    std::vector<Tensor> ups;
    for (const char* name :
         {"layers.0.mlp.up", "layers.0.mlp~2.up", "layers.1.mlp.up", "layers.1.mlp~2.up"})
      ups.push_back(weights[name]);
    for (size_t i = 0; i < ups.size(); ++i)
      for (size_t k = 0; k < i; ++k) EXPECT_FALSE(ups[i].equal(ups[k])) << kind;
    EXPECT_EQ(names_of(model).count("layers.0.attention~2.qkv"), 0u);
  }
}

TEST(Build, RoundsShareWeightsButNotCacheSites) {
  const auto repeated = [](int times) {
    return concat("[branch.one]\nkind = \"repeat\"\nof = \"pair\"\ntimes = ", times,
                  "\n[branch.pair]\nkind = \"chain\"\nof = [\"attention\", \"mlp\"]\n");
  };
  Model once = model_of(repeated(1)), thrice = model_of(repeated(3));
  EXPECT_EQ(thrice.parameter_count(), once.parameter_count());
  EXPECT_EQ(once.sites(), 2);
  EXPECT_EQ(thrice.sites(), 6);
  // It is the chain of as many blocks with these weights.
  Model unrolled = model_of(
      "[branch.one]\nkind = \"chain\"\nof = [\"pair\", \"pair\", \"pair\"]\n[branch.pair]\n"
      "kind = \"chain\"\nof = [\"attention\", \"mlp\"]\n");
  initialise(thrice, 4);
  const torch::NoGradGuard no_grad;
  for (auto& item : unrolled.named_parameters()) {
    std::string name = item.key();
    if (const size_t at = name.find(".pair"); at != std::string::npos)
      name = name.substr(0, at) + ".body" + name.substr(name.find('.', at + 1));
    item.value().copy_(thrice.named_parameters()[name]);
  }
  const Tokens tokens = {random_tokens(9, 1), random_tokens(20, 2)};
  KvCache a(6, 2, 24), b(6, 2, 24);
  EXPECT_TRUE(look(thrice, ragged(tokens), Routing::inference, &a)
                  .logits.equal(look(unrolled, ragged(tokens), Routing::inference, &b).logits));
}

TEST(Build, SitesAreApplicationsOfAttention) {
  const std::map<std::string, int64_t> sites = {
      {"dense", 4},     {"mod_mlp_only", 2}, {"mod_attention_only", 4}, {"mod_nested", 4},
      {"repeated", 10}, {"parallel", 4},     {"repeated_nested", 6},    {"mod_every_block", 4}};
  for (const auto& [name, count] : sites)
    EXPECT_EQ(Model(config_named(name)).sites(), count) << name;
}

TEST(Build, WhatCannotBeBuiltIsNamed) {
  Config config = config_named("dense");
  EXPECT_THROW(build_branch(config, "no_such_branch", "layers.0"), Error);
  config.model.vocab_size = 0;
  EXPECT_THROW(Model{config}, Error);
}

TEST(Counts, ParametersAreThoseCountedByHand) {
  const int64_t d = 32, v = 61, p = 24;
  const int64_t dense = v * d + p * d + 4 * (12 * d * d + 2 * 2 * d) + 2 * d;
  EXPECT_EQ(Model(config_named("dense")).parameter_count(), dense);
  EXPECT_EQ(Model(config_named("parallel")).parameter_count(), dense);
  EXPECT_EQ(Model(config_named("mod_random")).parameter_count(), dense);
  EXPECT_EQ(Model(config_named("mod_router")).parameter_count(), dense + 2 * d);
  EXPECT_EQ(Model(config_named("mod_predictor")).parameter_count(),
            dense + 2 * (d + 16 * d + 16 + 16 + 1));
  // 4 query and 2 key-value heads of 12; swiglu of 40; biases; norms of heads; a head of its own.
  const int64_t attention = 8 * 12 * d + 8 * 12 + 12 + 12 + 4 * 12 * d + d;
  const int64_t mlp = 2 * 40 * d + 2 * 40 + 40 * d + d + d;
  EXPECT_EQ(Model(config_named("dense_modern")).parameter_count(),
            2 * v * d + 4 * (attention + mlp) + d);
}

// The arithmetic in the opening comments of the config files, and the figures they give.
TEST(Counts, FlopsOfTheConfigFilesAreTheirComments) {
  const auto block = [](double d, double seen) { return 24 * d * d + 4 * d * (seen + 1) / 2; };
  const double dense = 12 * block(512, 512) + 2 * 512 * 8192;
  const double mod = 6 * block(512, 512) + 6 * block(512, 64) / 8 +
                     6 * (2 * 512 + 2 * 512 * 256 + 2 * 256) + 2 * 512 * 8192;
  const double quick_dense = 6 * block(192, 256) + 2 * 192 * 2048;
  const double quick_mod = 3 * block(192, 256) + 3 * block(192, 32) / 8 +
                           3 * (2 * 192 + 192 * 192 + 192) + 2 * 192 * 2048;
  const std::vector<std::tuple<std::string, int64_t, double, std::string, double>> files = {
      {"dense", 8192, dense, "90.2 M", 90.2e6},
      {"mod", 8192, mod, "55.6 M", 55.6e6},
      {"quickstart-dense", 2048, quick_dense, "6.69 M", 6.69e6},
      {"quickstart-mod", 2048, quick_mod, "4.19 M", 4.19e6}};
  for (const auto& [name, vocab, want, said, figure] : files) {
    const std::string path = POINTWORK_SOURCE_DIR "/configs/" + name + ".toml";
    const Config config = load_config(path, {{"model.vocab_size", std::to_string(vocab)}});
    const auto length = static_cast<double>(config.train.sequence_length);
    const Model model(config), twin(dense_twin(config));
    EXPECT_DOUBLE_EQ(total_flops(model.flops({.rows = {length}})) / length, want) << name;
    const bool quick = name.rfind("quick", 0) == 0;
    EXPECT_DOUBLE_EQ(total_flops(twin.flops({.rows = {length}})) / length,
                     quick ? quick_dense : dense);
    std::ifstream in(path);
    std::string comment, line;
    while (std::getline(in, line) && line.rfind("#", 0) == 0) comment += line;
    EXPECT_NE(comment.find(said), std::string::npos) << name << " does not say " << said;
    EXPECT_NEAR(want, figure, quick ? 0.005e6 : 0.05e6) << name;
  }
}

class EveryModel : public ::testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(Counts, EveryModel, ::testing::ValuesIn(every_config()), name_of);

TEST_P(EveryModel, PartsAreTheWhole) {
  const Model model(GetParam().config);
  for (const Routing routing : {Routing::training, Routing::inference}) {
    for (const FlopKind kind : {FlopKind::expected, FlopKind::bound}) {
      const Extent extent{.rows = {24, 24}, .routing = routing, .kind = kind, .step = kSettled};
      const FlopParts parts = model.flops(extent);
      double flops = 0, parameters = 0;
      std::set<std::string> names;
      for (const FlopPart& part : parts) {
        flops += part.flops;
        parameters += part.parameters;
        EXPECT_TRUE(names.insert(part.name).second) << part.name << " twice";
        EXPECT_GE(part.active, 0) << part.name;
        EXPECT_LE(part.active, part.parameters) << part.name;
      }
      EXPECT_EQ(flops, total_flops(parts));
      EXPECT_EQ(parameters, static_cast<double>(model.parameter_count()));
    }
  }
  const auto total = [&](FlopKind kind, Routing routing) {
    return total_flops(
        model.flops({.rows = {24}, .routing = routing, .kind = kind, .step = kSettled}));
  };
  const double expected = total(FlopKind::expected, Routing::inference);
  const double bound = total(FlopKind::bound, Routing::inference);
  if (has_token_choice(GetParam().config)) {
    EXPECT_LE(expected, bound);
  } else if (skips_rows(GetParam().config)) {
    EXPECT_LT(expected, bound);
  } else {
    EXPECT_EQ(expected, bound);
  }
}

TEST_P(EveryModel, TheTwinHasNoRoutesAndAsManyFlopsAsAllRowsCost) {
  const Model model(GetParam().config), twin(dense_twin(GetParam().config));
  EXPECT_TRUE(routers_of(twin).empty());
  double routing = 0;
  const Extent all{
      .rows = {24}, .routing = Routing::inference, .kind = FlopKind::bound, .step = kSettled};
  // Attention of k sets of weights has a twin of one.
  double more = 0;
  for (const auto& [name, branch] : GetParam().config.branch) {
    const auto* attention = std::get_if<AttentionConfig>(&branch.form);
    if (!attention || !attention->projection_route) continue;
    const auto k = static_cast<double>(attention->projection_route->top_k);
    for (const FlopPart& part : model.flops(all))
      if (part.name.ends_with("." + name + ".qkv") || part.name.ends_with("." + name + ".output"))
        more += part.flops * (k - 1) / k;
  }
  // Experts that choose may all want every row, and the twin has the width of what they take.
  for (const auto& router : depth_routers_of(model))
    if (router->config().num_experts > 1) return;
  for (const FlopPart& part : model.flops(all))
    if (part.name.find(".router") != std::string::npos) routing += part.flops;
  EXPECT_EQ(total_flops(twin.flops(all)), total_flops(model.flops(all)) - routing - more);
}

// At capacity 1/4 a routed block's weights are active for a quarter of the tokens, its norms too.
TEST(Counts, ActiveParametersAreWeightedByTheirShare) {
  const Model model(config_named("mod_predictor"));
  const double d = 32, block = 12 * d * d + 4 * d, router = d + 16 * d + 16 + 16 + 1;
  const FlopParts parts = model.flops({.rows = {24}});
  EXPECT_DOUBLE_EQ(active_parameters(parts),
                   61 * d + 24 * d + 2 * block + 2 * (block / 4 + router) + 2 * d);
  // The pairs that a causal mask hides: 24 · 23 / 2 and 6 · 5 / 2, 4 FLOPs for each of D.
  EXPECT_DOUBLE_EQ(total_masked(parts), 4 * d * (2 * 276 + 2 * 15));
}

TEST(Counts, CachedBytesAreThoseOfTheRowsThatEnter) {
  const auto bytes = [](const std::string& name, int64_t step = kSettled) {
    return Model(config_named(name)).cached_bytes_per_token(step, 4);
  };
  const double site = 2 * 32 * 4;
  EXPECT_EQ(bytes("dense"), 4 * site);
  EXPECT_EQ(bytes("dense_modern"), 4 * 2 * 24 * 4);
  EXPECT_EQ(bytes("mod_predictor"), 2 * site + 2 * site / 4);
  EXPECT_EQ(bytes("mod_mlp_only"), 2 * site);
  EXPECT_EQ(bytes("mod_scheduled", 0), 4 * site);
  EXPECT_EQ(bytes("mod_scheduled"), bytes("mod_predictor"));
  EXPECT_EQ(bytes("repeated"), 2 * (site + 2 * (site + site / 4)));
  // A dense model's cache holds as much as was said.
  const auto model = lively_model(config_named("dense_modern"));
  KvCache cache(model->sites(), 2, 24);
  look(*model, ragged({random_tokens(5, 1), random_tokens(20, 2)}), Routing::inference, &cache);
  EXPECT_EQ(static_cast<double>(cache.bytes()), 25 * bytes("dense_modern"));
}

}  // namespace
}  // namespace pointwork::test
