#include "tests/support/models.h"

#include "pointwork/base/check.h"

namespace pointwork::test {
namespace {

std::string mod(const std::string& route, const std::string& of = "dense") {
  return kDense + "[branch.mod]\nkind = \"routed\"\nof = \"" + of + "\"\nroute = { " + route +
         " }\n";
}

// chain(attention, routed(token choice, of)); `more` are further keys of the routed branch.
std::string moe(const std::string& route, const std::string& more = "",
                const std::string& of = "mlp") {
  return "[branch.experts]\nkind = \"routed\"\nof = \"" + of + "\"\n" + more +
         "route = { choice = \"token\", " + route +
         " }\n[branch.moe]\nkind = \"chain\"\nof = [\"attention\", \"experts\"]\n";
}

// repeat(5, chain(attention × 3, routed(mlp × 3))) with a SKIP; keys of both routes, of attention's
// and of attention.
std::string modules(const std::string& route, const std::string& more = "",
                    const std::string& attention = "") {
  const bool own = more.find("num_experts") != std::string::npos;
  return kDense + "[branch.mha]\nkind = \"attention\"\nnum_attention_heads = 4\n" + attention +
         "projection_route = { num_noop = 1, " + (own ? "" : "num_experts = 3, ") + route +
         (more.empty() ? "" : ", " + more) + " }\n" +
         "[branch.ffn]\nkind = \"routed\"\nof = \"mlp\"\nnorm = \"inside\"\nroute = { choice = "
         "\"token\", dropless = true, num_experts = 3, num_noop = 1, " +
         route + " }\n" + "[branch.round]\nkind = \"chain\"\nof = [\"mha\", \"ffn\"]\n" +
         "[branch.rounds]\nkind = \"repeat\"\nof = \"round\"\ntimes = 5\n";
}

const std::string kRounds =
    "layers = { first = [\"dense\"], repeat = [\"rounds\"], last = [\"dense\"] }\n";

const std::string kWithExperts = "layers = [\"dense\", \"moe\"]";

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
  add("dense", kDense, dense);
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
  // A capacity that a few tokens find used up, in every phase that has one.
  const std::string tight = ", min_capacity = 1, eval_capacity_factor = ";
  add("switch", kDense + moe("num_experts = 4, top_k = 1" + tight + "1.0"),
      kWithExperts + "\ninitializer = \"switch\"\ninitializer_scale = 2.0\n");
  add("switch_groups",
      kDense + moe("num_experts = 3, group_size = 10, priority = \"probability\", "
                   "capacity_rounding = \"ceil\"" +
                   tight + "0.75"),
      kWithExperts);
  add("switch_sequences", kDense + moe("num_experts = 3, capacity_per_sequence = 5"), kWithExperts);
  add("moe_top2",
      kDense + moe("num_experts = 4, top_k = 2, weight = \"renormalised\", dropless = true"),
      kWithExperts);
  add("moe_second",
      kDense + moe("num_experts = 4, top_k = 2, second_choice = \"threshold\", second_threshold = "
                   "0.3, routed_scaling_factor = 2.5" +
                   tight + "0.7"),
      kWithExperts);
  add("moe_bias",
      kDense + moe("num_experts = 4, top_k = 2, score = \"sigmoid\", weight = \"renormalised\", "
                   "dropless = true, balance = { bias_rate = 0.01, sequence_loss_weight = 0.01, "
                   "z_loss_weight = 0.001 }"),
      kWithExperts);
  add("moe_straight", kDense + moe("num_experts = 3, weight = \"ste\""), kWithExperts);
  add("moe_all", kDense + moe("num_experts = 2, top_k = 2, weight = \"none\", dropless = true"),
      kWithExperts);
  add("moe_modern",
      rotary + moe("num_experts = 3, top_k = 2, dropless = true", "norm = \"inside\"\n"),
      modern + kWithExperts);
  add("moe_shared",
      kDense + moe("num_experts = 3, dropless = true", "norm = \"inside\"\n", "thin") +
          "[branch.thin]\nkind = \"mlp\"\nintermediate_size = 24\nbias = true\noutput_norm = "
          "true\n" +
          "[branch.both]\nkind = \"parallel\"\nof = [\"experts\", \"thin\"]\n" +
          "[branch.shared]\nkind = \"chain\"\nof = [\"attention\", \"both\"]\n",
      "layers = { first = [\"dense\"], repeat = [\"shared\"] }");
  // A sigmoid weighs the expert that all share.
  add("moe_weighed",
      kDense + moe("num_experts = 3, dropless = true") +
          "[branch.weighed]\nkind = \"routed\"\nof = \"mlp\"\nnorm = \"outside\"\nroute = { "
          "capacity = 1.0, "
          "weight = \"sigmoid\", decode = \"router\" }\n" +
          "[branch.both]\nkind = \"parallel\"\nof = [\"experts\", \"weighed\"]\n" +
          "[branch.shared]\nkind = \"chain\"\nof = [\"attention\", \"both\"]\n",
      "layers = [\"dense\", \"shared\"]");
  add("moe_one", kDense + moe("num_experts = 1, dropless = true"), kWithExperts);
  add("moe_noops",
      kDense +
          moe("num_experts = 3, num_noop = 2, top_k = 2, weight = \"renormalised\", target_active "
              "= 1.0" +
              tight + "1.0"),
      kWithExperts);
  add("moe_copies",
      kDense + moe("num_experts = 2, num_noop = 1, noop = \"copy\", top_k = 2, dropless = true"),
      kWithExperts);
  add("expert_choice",
      kDense +
          "[branch.experts]\nkind = \"routed\"\nof = \"mlp\"\nroute = { num_experts = 3, capacity "
          "= "
          "0.4, weight = \"sigmoid\" }\n[branch.moe]\nkind = \"chain\"\nof = [\"attention\", "
          "\"experts\"]\n",
      kWithExperts);
  add("mod_by_token",
      mod("choice = \"token\", num_noop = 1, target_active = 0.5, capacity_factor = 1.0, balance = "
          "{ "
          "loss_weight = 0.0 }" +
          tight + "1.0"),
      kEveryOther);
  add("mode_staged",
      mod("capacity = 0.5", "moe") + moe("num_experts = 3, eval_capacity_factor = 3.0"),
      kEveryOther);
  add("moe_repeated",
      kDense + moe("num_experts = 3" + tight + "1.5") +
          "[branch.twice]\nkind = \"repeat\"\nof = \"moe\"\ntimes = 2\n",
      "layers = [\"dense\", \"twice\"]");
  // Mixture-of-Modules: rounds of attention and mlp whose experts two routers assemble.
  add("mom", modules("router = \"gru\", router_size = 20, top_k = 2, weight = \"renormalised\""),
      kRounds);
  add("mom_masked",
      modules("router = \"gru\", router_size = 20, router_projection = 6, temperature = 0.5, "
              "round_bias = true",
              "noop_key_value = \"masked\"", "qkv_bias = true\noutput_bias = true\n"),
      kRounds);
  add("mom_rounds",
      modules("router = \"mlp\", router_size = 12, round_embedding = true, round_bias = true, "
              "router_input = \"normalised\", weight = \"ste\", in_order_steps = 8",
              "", "rope_theta = 10000.0\nnum_key_value_heads = 2\n"),
      kRounds);
  add("mom_soft",
      modules("router = \"gru\", router_size = 8, top_k_start = 4, top_k_steps = 6, "
              "round_embedding = true",
              "weighted_qkv = true"),
      kRounds);
  add("mom_uneven",
      modules("weight = \"ste\", target_active = 0.7",
              "num_experts = 2, noop_key_value = \"masked\""),
      "norm = \"rmsnorm\"\n" + kRounds);
  add("mom_early_exit",
      kDense +
          "[branch.until]\nkind = \"routed\"\nof = \"dense\"\nroute = { choice = \"token\", "
          "num_noop = 1, absorbing = true, dropless = true }\n[branch.rounds]\nkind = "
          "\"repeat\"\nof = \"until\"\ntimes = 3\n",
      kRounds);
  add("dense_stretched",
      rotary +
          "[branch.attention.rope_scaling]\nkind = \"llama3\"\nfactor = 4.0\n"
          "original_max_position_embeddings = 16\n",
      modern + dense);
  add("parallel_norm",
      kDense +
          "[branch.side]\nkind = \"parallel\"\nof = [\"attention\", \"mlp\"]\nnorm = "
          "\"outside\"\n",
      "layers = [\"side\"]");
  add("moe_weighed_norm",
      kDense + moe("num_experts = 3, dropless = true") +
          "[branch.weighed]\nkind = \"routed\"\nof = \"mlp\"\nroute = { capacity = 1.0, weight = "
          "\"sigmoid\", decode = \"router\" }\n[branch.both]\nkind = \"parallel\"\nof = "
          "[\"experts\", \"weighed\"]\nnorm = \"outside\"\n[branch.shared]\nkind = "
          "\"chain\"\nof = [\"attention\", \"both\"]\n",
      "layers = [\"dense\", \"shared\"]");
  add("parallel", kDense + "[branch.side]\nkind = \"parallel\"\nof = [\"attention\", \"mlp\"]\n",
      "layers = [\"side\"]");
  return all;
}

std::vector<NamedConfig> module_counts() {
  std::vector<NamedConfig> all;
  for (const std::string k : {"1", "2", "3"}) {
    for (const std::string skip : {"zero", "masked"}) {
      const std::string route = "router = \"mlp\", router_size = 8, top_k = " + k +
                                (k == "1" ? ", weight = \"raw\"" : ", weight = \"renormalised\"");
      all.push_back({"mom_" + k + "_" + skip,
                     small_config(modules(route, "noop_key_value = \"" + skip + "\""), kRounds)});
    }
  }
  return all;
}

Config config_named(const std::string& name) {
  for (NamedConfig& one : all_configs()) {
    if (one.name == name) return one.config;
  }
  fail("no test config is called ", name);
}

}  // namespace pointwork::test
