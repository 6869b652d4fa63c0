#include <cctype>
#include <set>

#include "pointwork/config/config.h"
#include "pointwork/config/walk.h"

namespace pointwork {
namespace {

constexpr const char* kIntroduction = R"(# Every key of a config

<!-- Written by `pointwork config reference`; the help texts stand in src/pointwork/config. -->

A config is a TOML file that says what a model is and how it is trained. This one is whole: all that it leaves out has the defaults below.

```toml
[model]
hidden_size = 256
num_hidden_layers = 8
layers = ["dense", "mod"]          # in turn, until there are 8

[branch.attention]
kind = "attention"
num_attention_heads = 4

[branch.mlp]
kind = "mlp"

[branch.dense]                     # one block of a transformer
kind = "chain"
of = ["attention", "mlp"]

[branch.mod]                       # the same, run on an eighth of the tokens
kind = "routed"
of = "dense"
route = { capacity = 0.125 }

[train]
steps = 1000
```

**On the command line** each key is `--section.key=VALUE`: `--train.steps=200`, `--branch.mod.route.capacity=0.25`, `--model.layers='["dense"]'`.
Text needs no quotes of TOML's own. The command line goes before the file, the file before the default. A list or a table given whole replaces the
file's; a budget (`train.steps`, `train.tokens` or `train.flops`) replaces the file's budget, whichever it was.

**To look at a config**: `pointwork config check FILE` lists all that is wrong with it, and what is probably not meant; `pointwork config show FILE`
prints every key with its value; `pointwork config explain FILE branch.mod.route` says what a section's keys mean and what they are there.

Whole numbers may be written as `2e4`. A misspelt key is an error, never ignored.

)";

constexpr const char* kBranches = R"(## `[branch.NAME]`: the grammar

A transformer is a residual stream x, and branches add to it. Each `[branch.NAME]` is one sentence about a branch; `kind` says which, and sentences name one
another. The names are yours (letters, digits, `_` and `-`); `model.layers` says which of them are the layers. A name that is used twice makes weights twice;
only `repeat` shares them.

)";

constexpr const char* kTokenChoice =
    R"(With `choice = "token"` each token chooses its experts, and these keys stand in place of those from `route.capacity` on:

)";

constexpr const char* kProjectionRoute =
    R"(`projection_route = { num_experts = 4, num_noop = 1, … }` is such a table as `route` with `choice = "token"` below, dropless where it does not say otherwise. Besides it has:

)";

constexpr const char* kRopeScaling =
    R"(With `rope_scaling.kind = "linear"` there is the first of these keys, with `"llama3"` all of them:

)";

std::string cell(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '|' ? std::string("\\|") : std::string(1, c);
  return safe;
}

std::string sentence(std::string_view help) {
  std::string text(help);
  text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text + ".\n\n";
}

// One struct's keys as a table; what is nested has dotted names.
std::string table_of(const std::vector<KeyFacts>& keys) {
  std::string text = "| key | value | default | meaning |\n|---|---|---|---|\n";
  for (const KeyFacts& key : keys) {
    std::string value = key.type;
    if (!key.unit.empty() && key.unit != key.type) value += ", in " + key.unit;
    if (!key.range.empty()) value += ", " + key.range;
    const std::string usual = key.required ? "required" : concat("`", cell(key.value), "`");
    text +=
        concat("| `", key.path, "` | ", cell(value), " | ", usual, " | ", cell(key.help), " |\n");
  }
  return text + "\n";
}

// The keys that another choice has beside those of the usual one.
template <HasFields T>
std::string table_beside(const T& usual, const T& other) {
  std::set<std::string> told;
  for (const KeyFacts& key : keys_of(usual)) told.insert(key.path);
  std::vector<KeyFacts> keys = keys_of(other);
  std::erase_if(keys, [&](const KeyFacts& key) { return told.count(key.path) > 0; });
  return table_of(keys);
}

std::string token_choice_table() {
  RoutedConfig routed;
  routed.route.choice = ChoiceKind::token;
  return table_beside({}, routed);
}

std::string rope_scaling_table() {
  AttentionConfig attention;
  attention.rope_scaling.kind = RopeScalingKind::llama3;
  return table_beside({}, attention);
}

// What projection_route has beside the keys of a route by token choice.
std::string projection_route_table() {
  RouteConfig route;
  route.choice = ChoiceKind::token;
  std::set<std::string> told;
  for (const KeyFacts& key : keys_of(route)) told.insert(key.path);
  std::vector<KeyFacts> keys = keys_of(ProjectionRouteConfig());
  std::erase_if(keys, [&](const KeyFacts& key) { return told.count(key.path) > 0; });
  for (KeyFacts& key : keys) key.path = "projection_route." + key.path;
  return table_of(keys);
}

// The sections of Config in their order.
struct Sections {
  std::string text = kIntroduction;

  template <HasFields T>
  void operator()(const char* name, const T&, const Field& facts) {
    text += concat("## `[", name, "]`\n\n", sentence(facts.help)) + table_of(keys_of(T{}));
  }
  void operator()(const char*, const std::map<std::string, BranchConfig>&, const Field&) {
    text += kBranches;
    kinds<0>();
  }

 private:
  template <size_t I>
  void kinds() {
    using Forms = decltype(BranchConfig::form);
    if constexpr (I < std::variant_size_v<Forms>) {
      text += concat("### `kind = \"", BranchConfig::kinds[I], "\"`\n\n",
                     sentence(BranchConfig::abouts[I]));
      using Form = std::variant_alternative_t<I, Forms>;
      text += table_of(keys_of(Form{}));
      if constexpr (std::is_same_v<Form, AttentionConfig>)
        text += kRopeScaling + rope_scaling_table() + kProjectionRoute + projection_route_table();
      if constexpr (std::is_same_v<Form, RoutedConfig>) text += kTokenChoice + token_choice_table();
      kinds<I + 1>();
    }
  }
};

}  // namespace

std::string config_reference() {
  Sections sections;
  const Config config;
  Config::fields(config, sections);
  while (sections.text.ends_with("\n\n")) sections.text.pop_back();
  return sections.text;
}

}  // namespace pointwork
