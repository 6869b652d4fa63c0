#include <regex>
#include <set>

#include "pointwork/config/grammar.h"
#include "tests/config/cases.h"
#include "tests/support/models.h"

namespace pointwork::test {
namespace {

Strings expand(const LayersConfig& layers, int64_t count) {
  ModelConfig model;
  model.num_hidden_layers = count;
  model.layers = layers;
  return layer_names(model);
}

TEST(LayerNames, RepeatTheListUntilTheLayersAreFull) {
  EXPECT_EQ(expand({{}, {"a", "b"}, {}}, 4), (Strings{"a", "b", "a", "b"}));
  EXPECT_EQ(expand({{}, {"a", "b"}, {}}, 1), Strings{"a"});
  EXPECT_EQ(expand({{}, {"a", "b", "c"}, {}}, 5), (Strings{"a", "b", "c", "a", "b"}));
}

TEST(LayerNames, StandBetweenTheFirstAndTheLast) {
  EXPECT_EQ(expand({{"f"}, {"a", "b"}, {"l"}}, 5), (Strings{"f", "a", "b", "a", "l"}));
  EXPECT_EQ(expand({{"f"}, {"a", "b"}, {"l"}}, 2), (Strings{"f", "l"}));
  EXPECT_EQ(expand({{"f", "g"}, {}, {"l"}}, 3), (Strings{"f", "g", "l"}));
  EXPECT_EQ(expand({{}, {"a"}, {"k", "l"}}, 4), (Strings{"a", "a", "k", "l"}));
}

TEST(LayerNames, RefuseWhatDoesNotFit) {
  EXPECT_THROW(expand({{"f", "g"}, {"a"}, {"l"}}, 2), Error);
  EXPECT_THROW(expand({{"f"}, {}, {}}, 2), Error);
  EXPECT_THROW(expand({}, 1), Error);
}

TEST(ChildrenOf, AreTheNamesABranchIsMadeOf) {
  EXPECT_EQ(children_of({AttentionConfig{}}), Strings{});
  EXPECT_EQ(children_of({MlpConfig{}}), Strings{});
  EXPECT_EQ(children_of({ChainConfig{{"a", "b", "a"}}}), (Strings{"a", "b", "a"}));
  EXPECT_EQ(children_of({ParallelConfig{{"b"}}}), Strings{"b"});
  EXPECT_EQ(children_of({RepeatConfig{"a", 3}}), Strings{"a"});
  EXPECT_EQ(children_of({RoutedConfig{"a", {}}}), Strings{"a"});
  EXPECT_EQ(children_of({RepeatConfig{}}), Strings{});
}

// A branch and all in it, written out, with routes shown as ( ).
std::string unfolded(const Config& config, const std::string& name) {
  const BranchConfig& branch = config.branch.at(name);
  std::string text;
  for (const std::string& child : children_of(branch))
    text += (text.empty() ? "" : " ") + unfolded(config, child);
  const std::string kind = branch.kind();
  if (kind == "routed") return "(" + text + ")";
  return text.empty() ? name : kind + "[" + text + "]";
}

std::string unfolded(const Config& config) {
  std::string text;
  for (const std::string& layer : layer_names(config.model)) text += unfolded(config, layer) + ";";
  return text;
}

std::string without_routes(std::string text) {
  std::erase_if(text, [](char c) { return c == '(' || c == ')'; });
  return text;
}

// k experts that a token chooses are one mlp of k times the width, named so.
std::string without_widths(const std::string& text) {
  return std::regex_replace(text, std::regex("_x[0-9]+"), "");
}

TEST(DenseTwin, OfChosenExpertsIsOneMlpOfTheirWidths) {
  const auto widest = [](const Config& config) {
    int64_t width = 0;
    for (const auto& [name, branch] : dense_twin(config).branch) {
      if (const auto* mlp = std::get_if<MlpConfig>(&branch.form))
        width = std::max(width, mlp->intermediate_size);
    }
    return width;
  };
  EXPECT_EQ(widest(config_named("switch")), 0);  // as wide as the others: 4 x hidden_size
  EXPECT_EQ(widest(config_named("moe_top2")), 2 * 4 * 32);
  EXPECT_EQ(widest(config_named("moe_modern")), 2 * 40);
  // One expert and a no-op are never more than that expert.
  Config config = config_named("mod_by_token");
  std::get<RoutedConfig>(config.branch.at("mod").form).route.top_k = 2;
  EXPECT_EQ(widest(config), 0);
}

TEST(DenseTwin, IsTheSameModelWithEveryRouteRemoved) {
  int routed = 0;
  for (const auto& [name, config] : all_configs()) {
    SCOPED_TRACE(name);
    const Config twin = dense_twin(config);
    EXPECT_EQ(without_widths(unfolded(twin)), without_routes(unfolded(config)));
    EXPECT_EQ(unfolded(twin).find('('), std::string::npos);
    EXPECT_EQ(problems(twin), Strings{});
    EXPECT_EQ(dense_twin(twin), twin);
    routed += unfolded(config).find('(') != std::string::npos;
    // All else is untouched.
    for (const std::string& key : changed_keys(config, twin)) {
      const bool grammar = key.rfind("branch.", 0) == 0 || key.rfind("model.layers", 0) == 0;
      EXPECT_TRUE(grammar) << key;
    }
  }
  EXPECT_GE(routed, 10);
}

TEST(DenseTwin, RemovesRoutesWithinRoutesAndBranchesThatNobodyUses) {
  const Config config =
      parse(mod_toml("",
                     "[branch.outer]\nkind = \"routed\"\nof = \"mod\"\n[branch.pair]\nkind = "
                     "\"parallel\"\nof = [\"outer\", \"mlp\", \"mod\"]\n[branch.r]\nkind = "
                     "\"repeat\"\nof = \"outer\"\n"),
            {{"model.layers", "{ first = [\"outer\"], repeat = [\"pair\"], last = [\"r\"] }"}});
  const Config twin = dense_twin(config);
  EXPECT_EQ(twin.model.layers, (LayersConfig{{"dense"}, {"pair"}, {"r"}}));
  EXPECT_EQ(std::get<ParallelConfig>(twin.branch.at("pair").form).of,
            (Strings{"dense", "mlp", "dense"}));
  EXPECT_EQ(std::get<RepeatConfig>(twin.branch.at("r").form).of, "dense");
  EXPECT_EQ(twin.branch.count("mod") + twin.branch.count("outer"), 0u);
}

TEST(DenseTwin, OfADenseConfigIsItself) {
  const Config dense = config_named("dense");
  EXPECT_EQ(dense_twin(dense), dense);
}

TEST(DenseTwin, OfTheModConfigIsTheDenseConfig) {
  const auto load = [](const char* name) {
    return load_config(std::string(POINTWORK_SOURCE_DIR) + "/configs/" + name);
  };
  Config twin = dense_twin(load("mod.toml"));
  const Config dense = load("dense.toml");
  EXPECT_EQ(unfolded(twin), unfolded(dense));
  twin.model.layers = dense.model.layers;  // ["dense", "dense"]
  EXPECT_EQ(changed_keys(twin, dense), Strings{});
  twin = dense_twin(load("quickstart-mod.toml"));
  twin.model.layers = load("quickstart-dense.toml").model.layers;
  EXPECT_EQ(changed_keys(twin, load("quickstart-dense.toml")), Strings{});
}

}  // namespace
}  // namespace pointwork::test
