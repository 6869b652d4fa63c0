#include "tests/support/models.h"

#include "pointwork/base/check.h"

namespace pointwork::test {
namespace {

const std::string kLeaves = R"(
[branch.attention]
kind = "attention"
num_attention_heads = 4
[branch.mlp]
kind = "mlp"
[branch.dense]
kind = "chain"
of = ["attention", "mlp"]
)";

std::string mod(const std::string& route, const std::string& of = "dense") {
  return kLeaves + "[branch.mod]\nkind = \"routed\"\nof = \"" + of + "\"\nroute = { " + route +
         " }\n";
}

const std::string kEveryOther = "layers = [\"dense\", \"mod\"]";

}  // namespace

Config small_config(const std::string& body, const std::string& model_keys) {
  return parse_config(
      "[model]\nvocab_size = 61\nhidden_size = 32\nnum_hidden_layers = 4\nmax_position_embeddings "
      "= 24\n" +
          model_keys + "\n" + body +
          "\n[train]\nsteps = 10\nbatch_size = 2\nsequence_length = 24\n",
      "small.toml");
}

std::vector<NamedConfig> all_configs() {
  const std::string dense = "layers = [\"dense\"]";
  const std::string modern =
      "norm = \"rmsnorm\"\nposition_embedding = \"none\"\ntie_word_embeddings = false\ninitializer "
      "= \"llama\"\n";
  const std::string rotary = R"(
[branch.attention]
kind = "attention"
num_attention_heads = 4
num_key_value_heads = 2
head_dim = 12
rope_theta = 10000.0
partial_rotary_factor = 0.5
qk_norm = "head"
qkv_bias = true
[branch.mlp]
kind = "mlp"
intermediate_size = 40
hidden_act = "swiglu"
bias = true
[branch.dense]
kind = "chain"
of = ["attention", "mlp"]
[branch.mod]
kind = "routed"
of = "dense"
route = { capacity = 0.25 }
)";
  std::vector<NamedConfig> all;
  const auto add = [&](const std::string& name, const std::string& body, const std::string& keys) {
    all.push_back({name, small_config(body, keys)});
  };
  add("dense", kLeaves, dense);
  add("dense_modern", rotary, modern + dense);
  add("mod_predictor", mod("capacity = 0.25"), kEveryOther);
  add("mod_router", mod("capacity = 0.25, decode = \"router\""), kEveryOther);
  add("mod_random", mod("capacity = 0.25, choice = \"random\""), kEveryOther);
  add("mod_threshold", mod("capacity = 0.25, choice = \"threshold\""), kEveryOther);
  add("mod_sigmoid", mod("capacity = 0.3, weight = \"sigmoid\", decode = \"router\""), kEveryOther);
  add("mod_tanh", mod("capacity = 0.5, weight = \"tanh\""), kEveryOther);
  add("mod_unweighted", mod("capacity = 0.5, weight = \"none\""), kEveryOther);
  add("mod_every_block", mod("capacity = 0.5"), "layers = [\"mod\"]");
  add("mod_first_last", mod("capacity = 0.25"),
      "layers = { first = [\"dense\"], repeat = [\"mod\"], last = [\"dense\"] }");
  add("mod_attention_only", mod("capacity = 0.25", "attention"), kEveryOther);
  add("mod_mlp_only", mod("capacity = 0.25", "mlp"), kEveryOther);
  add("mod_whole", mod("capacity = 1.0"), kEveryOther);
  add("mod_scheduled",
      mod("capacity = 0.25, capacity_schedule = { start = 1.0, steps = 8, values = 4 }"),
      kEveryOther);
  add("mod_modern", rotary, modern + kEveryOther);
  add("mod_nested",
      mod("capacity = 0.5") + "[branch.both]\nkind = \"chain\"\nof = [\"attention\", \"inner\"]\n" +
          "[branch.inner]\nkind = \"routed\"\nof = \"mlp\"\nroute = { capacity = 0.5 }\n" +
          "[branch.outer]\nkind = \"routed\"\nof = \"both\"\nroute = { capacity = 0.5 }\n",
      "layers = [\"dense\", \"outer\"]");
  add("repeated",
      mod("capacity = 0.25") + "[branch.twice]\nkind = \"repeat\"\nof = \"pair\"\ntimes = 2\n" +
          "[branch.pair]\nkind = \"chain\"\nof = [\"dense\", \"mod\"]\n",
      "layers = [\"dense\", \"twice\"]");
  add("repeated_nested",
      mod("capacity = 0.5", "mlp") +
          "[branch.twice]\nkind = \"repeat\"\nof = \"pair\"\ntimes = 2\n" +
          "[branch.pair]\nkind = \"chain\"\nof = [\"mlp\", \"outer\"]\n" +
          "[branch.both]\nkind = \"chain\"\nof = [\"attention\", \"mod\"]\n" +
          "[branch.outer]\nkind = \"routed\"\nof = \"both\"\nroute = { capacity = 0.5, weight = "
          "\"tanh\" }\n",
      "layers = [\"dense\", \"twice\"]");
  add("parallel", kLeaves + "[branch.side]\nkind = \"parallel\"\nof = [\"attention\", \"mlp\"]\n",
      "layers = [\"side\"]");
  return all;
}

Config config_named(const std::string& name) {
  for (NamedConfig& one : all_configs()) {
    if (one.name == name) return one.config;
  }
  fail("no test config is called ", name);
}

}  // namespace pointwork::test
