#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>

#include <bit>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "pointwork/config/walk.h"
#include "tests/config/cases.h"
#include "tests/support/models.h"

namespace pointwork::test {
namespace {

using Json = nlohmann::ordered_json;

// Fills every field with a value that its Field allows.
struct Fill {
  template <HasFields T>
  void operator()(const char*, T& value, const Field&) {
    T::fields(value, *this);
  }
  template <HasFields T>
  void operator()(const char*, std::optional<T>& value, const Field&) {
    if (*rc::gen::arbitrary<bool>()) T::fields(value.emplace(), *this);
  }
  void operator()(const char*, std::map<std::string, BranchConfig>&, const Field&) {}
  void operator()(const char*, bool& value, const Field&) { value = *rc::gen::arbitrary<bool>(); }
  void operator()(const char*, int64_t& value, const Field& facts) {
    const auto low = static_cast<int64_t>(facts.min);
    const int64_t high = std::isfinite(facts.max) ? static_cast<int64_t>(facts.max) : INT64_MAX;
    value = *rc::gen::oneOf(rc::gen::element(low, high), rc::gen::inRange(low, high));
  }
  // Any bits that are a number in range: to_toml must write it so that the same bits are read.
  void operator()(const char*, double& value, const Field& facts) {
    const auto allowed = [&](double x) {
      return std::isfinite(x) && (facts.above_min ? x > facts.min : x >= facts.min) &&
             (facts.below_max ? x < facts.max : x <= facts.max);
    };
    const double wide = std::bit_cast<double>(*rc::gen::arbitrary<uint64_t>() >> 1);
    const double narrow = static_cast<double>(*rc::gen::inRange<int64_t>(0, 1 << 30)) * 0x1p-30;
    if (allowed(wide))
      value = wide;
    else if (allowed(narrow))
      value = narrow;
  }
  void operator()(const char*, std::string&, const Field&) {}
  void operator()(const char*, std::vector<std::string>&, const Field&) {}
  template <class E>
  requires std::is_enum_v<E>
  void operator()(const char*, E& value, const Field&) {
    value =
        EnumNames<E>::names[*rc::gen::inRange<size_t>(0, std::size(EnumNames<E>::names))].second;
  }
};

// A valid config: branch i is made of branches before it, and no cross-field rule is broken.
// What a route of random values lacks to fit together, round a body that is an mlp or not.
void make_fit(RouteConfig& route, bool is_mlp) {
  const RouterWeight w = route.weight;
  if (!is_mlp || (route.choice != ChoiceKind::expert && !route.by_token())) route.num_experts = 1;
  if (!route.by_token()) {
    if (w == RouterWeight::renormalised || w == RouterWeight::ste) route.weight = RouterWeight::raw;
    return;
  }
  route.top_k = std::min(route.top_k, route.choices());
  if (w == RouterWeight::sigmoid || w == RouterWeight::tanh ||
      (w == RouterWeight::renormalised && route.top_k == 1))
    route.weight = RouterWeight::ste;
  if (route.top_k != 2) route.second_choice = SecondChoice::all;
  route.min_capacity = std::max<int64_t>(route.min_capacity, 1);
  // What no place in a random tree refuses.
  if (route.router == RouterKind::gru) route.router = RouterKind::mlp;
  if (route.router == RouterKind::mlp) route.router_dtype = RouterDtype::float32;
  route.router_projection = route.in_order_steps = route.top_k_start = 0;
  route.absorbing = false;
  route.target_active = route.num_noop == 0 ? 0 : std::min(route.target_active, 1.0);
}

Config random_config() {
  Config config;
  Fill fill;
  Config::fields(config, fill);
  std::vector<std::string> names;
  const auto some = [&](size_t least) {
    const auto count = *rc::gen::inRange<size_t>(least, least + 3);
    return *rc::gen::container<Strings>(count, rc::gen::elementOf(names));
  };
  const int count = *rc::gen::inRange(1, 7);
  for (int i = 0; i < count; ++i) {
    BranchConfig branch;
    switch (*rc::gen::inRange(0, i == 0 ? 2 : 6)) {
      case 0: {
        AttentionConfig attention;
        AttentionConfig::fields(attention, fill);
        attention.head_dim = 2 * std::max<int64_t>(1, attention.head_dim / 2);
        attention.num_key_value_heads = *rc::gen::element<int64_t>(0, 1);
        attention.partial_rotary_factor = 1;
        RopeScalingConfig& scaling = attention.rope_scaling;
        if (scaling.high_freq_factor <= scaling.low_freq_factor)
          scaling.low_freq_factor = scaling.high_freq_factor / 2;
        if (scaling.high_freq_factor <= scaling.low_freq_factor)
          scaling.low_freq_factor = 1, scaling.high_freq_factor = 4;
        if (attention.projection_route) {
          ProjectionRouteConfig& route = attention.projection_route.emplace();
          TokenChoiceConfig::fields(route, fill);
          RouterConfig::fields(route, fill);
          route.noop = NoopKind::zero;
          make_fit(route, true);
          attention.qk_norm = QkNorm::none;
          attention.output_norm = false;
        }
        branch.form = attention;
        break;
      }
      case 1:
        branch.form = MlpConfig{};
        MlpConfig::fields(std::get<MlpConfig>(branch.form), fill);
        break;
      case 2:
        branch.form = ChainConfig{some(1)};
        break;
      case 3:
        branch.form = ParallelConfig{some(1)};
        break;
      case 4:
        branch.form = RepeatConfig{*rc::gen::elementOf(names), *rc::gen::inRange<int64_t>(1, 3)};
        break;
      default: {
        RoutedConfig routed{.of = *rc::gen::elementOf(names), .route = {}};
        RouteConfig::fields(routed.route, fill);
        make_fit(routed.route, std::holds_alternative<MlpConfig>(config.branch[routed.of].form));
        branch.form = routed;
      }
    }
    names.push_back(concat("b-", i));
    config.branch[names.back()] = branch;
  }
  ModelConfig& model = config.model;
  model.num_hidden_layers = *rc::gen::inRange<int64_t>(4, 9);
  model.layers = {some(0), some(1), some(0)};
  TrainConfig& train = config.train;
  train.batch_size = *rc::gen::inRange(1, 1000);
  train.gradient_accumulation_steps = *rc::gen::inRange(1, 100);
  train.sequence_length = *rc::gen::inRange(1, 1000);
  model.max_position_embeddings = std::max<int64_t>(1000, model.max_position_embeddings);
  (*rc::gen::arbitrary<bool>() ? train.tokens : train.steps) = 0;
  if (train.steps + train.tokens > 0) train.flops = 0;
  config.schedule.warmup_share =
      std::min(config.schedule.warmup_share, 1 - config.schedule.decay_share);
  return config;
}

// Fields of `value`, by their path in Config::fields: what to_json must hold.
struct Collect {
  Json root = Json::object();
  template <HasFields T>
  void operator()(const char* name, const T& value, const Field&) {
    Collect inner;
    T::fields(value, inner);
    root[name] = inner.root;
  }
  template <HasFields T>
  void operator()(const char* name, const std::optional<T>& value, const Field& facts) {
    if (value) (*this)(name, *value, facts);
  }
  void operator()(const char* name, const std::map<std::string, BranchConfig>& value,
                  const Field&) {
    for (const auto& [key, branch] : value) {
      Collect inner;
      inner.root["kind"] = branch.kind();
      std::visit([&](const auto& form) { std::decay_t<decltype(form)>::fields(form, inner); },
                 branch.form);
      root[name][key] = inner.root;
    }
  }
  template <class T>
  requires(!HasFields<T>) void operator()(const char* name, const T& value, const Field&) {
    if constexpr (std::is_enum_v<T>)
      root[name] = std::string(name_of(value));
    else
      root[name] = value;
  }
};

void expect_written_back(const Config& config) {
  const std::string toml = to_toml(config);
  EXPECT_EQ(parse(toml), config) << toml;
  EXPECT_EQ(to_toml(parse(toml)), toml);
  Collect collected;
  Config::fields(config, collected);
  EXPECT_EQ(Json::parse(to_json(config)), collected.root) << to_json(config);
}

TEST(WriteConfig, IsReadBackAsTheSame) {
  for (const NamedConfig& one : all_configs()) {
    SCOPED_TRACE(one.name);
    expect_written_back(one.config);
  }
}

// The same cases in every run; RC_PARAMS in the environment goes before.
const int kSeeded = setenv("RC_PARAMS", "seed=1 max_success=1000", 0);

RC_GTEST_PROP(WriteConfig, IsReadBackAsTheSameWhateverIsInIt, ()) {
  const Config config = random_config();
  const Strings wrong = problems(config);
  RC_ASSERT(wrong == Strings{});
  const std::string toml = to_toml(config);
  RC_LOG() << toml;
  RC_ASSERT(parse(toml) == config);
  Collect collected;
  Config::fields(config, collected);
  RC_ASSERT(Json::parse(to_json(config)) == collected.root);
}

TEST(WriteConfig, OpensEachTableOnce) {
  const std::string toml = to_toml(parse(mod_toml()));
  EXPECT_NE(
      toml.find(
          "\n[branch.mod]\nkind = \"routed\"\nof = \"dense\"\nnorm = \"auto\"\nroute.choice = "),
      std::string::npos)
      << toml;
  EXPECT_NE(toml.find("\nlayers.repeat = [\"dense\", \"mod\"]\n"), std::string::npos) << toml;
}

TEST(NumberText, IsTheShortestThatReadsBackTheSame) {
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(1e-5), "1e-05");
  EXPECT_EQ(number_text(3), "3");
  EXPECT_EQ(toml_value(3.0), "3.0");
  EXPECT_EQ(toml_value(1e300), "1e+300");
}

TEST(RangeText, NamesTheBoundsThereAre) {
  EXPECT_EQ(range_text({}), "");
  EXPECT_EQ(range_text({.min = 1}), "at least 1");
  EXPECT_EQ(range_text({.max = 5, .below_max = true}), "below 5");
  EXPECT_EQ(range_text({.min = 0, .max = 1, .above_min = true}), "above 0 and at most 1");
}

TEST(ChangedKeys, NameEachKeyWhoseValueDiffers) {
  const Config before = parse(mod_toml());
  EXPECT_EQ(changed_keys(before, before), Strings{});
  const Config after = parse(
      mod_toml(),
      {{"train.steps", "5"}, {"branch.mod.route.capacity", "0.5"}, {"model.layers", "[\"mod\"]"}});
  const Strings expected = {"model.layers.repeat", "branch.mod.route.capacity", "train.steps"};
  EXPECT_EQ(changed_keys(before, after), expected);
  EXPECT_EQ(changed_keys(after, before), expected);
}

TEST(ChangedKeys, NameKeysThatOnlyOneOfThemHas) {
  const Config before = parse(mod_toml());
  Config after = before;
  after.branch["mlp"].form = ChainConfig{{"attention"}};
  after.branch["new"].form = RepeatConfig{"mlp", 3};
  EXPECT_EQ(
      changed_keys(before, after),
      (Strings{"branch.mlp.kind", "branch.mlp.of", "branch.new.kind", "branch.new.of",
               "branch.new.times", "branch.mlp.bias", "branch.mlp.dropout", "branch.mlp.hidden_act",
               "branch.mlp.intermediate_size", "branch.mlp.output_norm"}));
}

TEST(AllKeys, KnowTheirDefaults) {
  const Config config = parse(mod_toml("hidden_size = 64\n"),
                              {{"branch.mod.route.capacity", "0.5"}, {"train.flops", "1e13"}});
  int found = 0;
  for (const KeyFacts& key : all_keys(config)) {
    EXPECT_FALSE(key.help.empty()) << key.path;
    EXPECT_EQ(key.required, key.default_value.empty()) << key.path;
    if (key.path == "model.hidden_size" || key.path == "branch.mod.route.capacity" ||
        key.path == "train.flops") {
      ++found;
      EXPECT_NE(key.value, key.default_value) << key.path;
    }
    if (key.path == "branch.mod.route.capacity") {
      EXPECT_EQ(key.type, "number");
      EXPECT_EQ(key.range, "above 0 and at most 1");
      EXPECT_EQ(key.value, "0.5");
      EXPECT_EQ(key.default_value, "0.125");
    }
    EXPECT_TRUE(key.required || key.path != "branch.mod.of");
  }
  EXPECT_EQ(found, 3);
}

}  // namespace
}  // namespace pointwork::test
