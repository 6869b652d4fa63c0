#include "pointwork/model/assemble.h"

#include "pointwork/nn/attention.h"
#include "pointwork/nn/mlp.h"
#include "tests/support/lively.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

const std::string kDense = R"(
[branch.attention]
kind = "attention"
num_attention_heads = 4
qkv_bias = true
[branch.mlp]
kind = "mlp"
bias = true
[branch.dense]
kind = "chain"
of = ["attention", "mlp"]
)";

// Layers dense, rounds, rounds, dense, each pool of `experts` modules; keys of both routes.
Config modules(int64_t attention, int64_t mlp, int64_t times, const std::string& route) {
  const auto of = [&](int64_t experts) {
    return concat("num_experts = ", experts, ", num_noop = 1, ", route);
  };
  return small_config(
      kDense + "[branch.mha]\nkind = \"attention\"\nnum_attention_heads = 4\nqkv_bias = true\n" +
          "projection_route = { " + of(attention) + " }\n" +
          "[branch.ffn]\nkind = \"routed\"\nof = \"mlp\"\nnorm = \"inside\"\nroute = { choice = "
          "\"token\", dropless = true, " +
          of(mlp) + " }\n" + "[branch.round]\nkind = \"chain\"\nof = [\"mha\", \"ffn\"]\n" +
          concat("[branch.rounds]\nkind = \"repeat\"\nof = \"round\"\ntimes = ", times, "\n"),
      "layers = { first = [\"dense\"], repeat = [\"rounds\"], last = [\"dense\"] }");
}

Config dense_config(int64_t layers, const std::string& more = "") {
  Config config = small_config(kDense + more, "layers = [\"dense\"]");
  config.model.num_hidden_layers = layers;
  return config;
}

const std::string kPreserving =
    "router = \"gru\", router_size = 16, weight = \"ste\", in_order_steps = 5";

std::string message_of(const Config& dense, const Config& target, const AssembleOptions& options) {
  try {
    assembled(dense, target, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void expect_alike(Model& dense, Model& made, int64_t step) {
  const Tokens tokens = {random_tokens(24, 61), random_tokens(24, 62)};
  for (const Routing routing : {Routing::training, Routing::inference}) {
    const Seen want = look(dense, uniform(tokens), routing),
               got = look(made, uniform(tokens), routing, nullptr, step);
    EXPECT_LE((want.logits - got.logits).abs().max().item<double>(), tolerance_of(want.logits));
  }
  KvCache a(dense.sites(), 2, 24), b(made.sites(), 2, 24);
  const Seen want = look(dense, ragged(tokens), Routing::inference, &a),
             got = look(made, ragged(tokens), Routing::inference, &b, step);
  EXPECT_LE((want.logits - got.logits).abs().max().item<double>(), tolerance_of(want.logits));
}

// One-hot routes are the vanilla stack, surplus rounds SKIP; then the bias has fallen.
TEST(Assemble, PreservingStepZeroComputesWhatTheDenseModelDid) {
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kFloat64}) {
    for (const int64_t times : {3, 5}) {
      const auto dense = lively_model(dense_config(8), dtype);
      const auto made =
          assemble(*dense, modules(3, 3, times, kPreserving), {.start = AssemblyStart::preserving});
      expect_alike(*dense, *made, 0);
      const Seen begin =
          look(*made, uniform({random_tokens(24, 61)}), Routing::inference, nullptr, 0);
      for (const LayerTrace& layer : begin.layers) {
        const size_t at = layer.name.find('#');
        const int64_t round = at == std::string::npos ? 0 : std::stoll(layer.name.substr(at + 1));
        for (const int32_t choice : layer.choice) EXPECT_EQ(choice, std::min<int64_t>(round, 3));
      }
      const Seen later =
          look(*made, uniform({random_tokens(24, 61)}), Routing::inference, nullptr, 5);
      EXPECT_NE(begin.layers.back().choice, later.layers.back().choice);
    }
  }
}

TEST(Assemble, GivesEachModuleItsLayer) {
  const auto dense = lively_model(dense_config(8));
  const auto made = assemble(*dense, modules(2, 3, 4, kPreserving), {});
  const auto find = [&](Model& model, size_t layer) {
    std::pair<Attention*, Mlp*> leaves;
    for (const auto& module : model.layers()[layer]->modules()) {
      if (auto* a = dynamic_cast<Attention*>(module.get())) leaves.first = a;
      if (auto* m = dynamic_cast<Mlp*>(module.get())) leaves.second = m;
    }
    return leaves;
  };
  // Layers 1 .. 3 and 4 .. 6 are the pools; of the last of each only the mlp is taken.
  for (const size_t chunk : {1, 2}) {
    const auto [attention, mlp] = find(*made, chunk);
    for (int64_t e = 0; e < 3; ++e) {
      const auto [a, m] = find(*dense, 3 * chunk - 2 + static_cast<size_t>(e));
      EXPECT_TRUE(same_bits(mlp->up[e], m->up));
      EXPECT_TRUE(same_bits(mlp->down_bias[e], m->down_bias));
      EXPECT_TRUE(same_bits(mlp->norm->weight[e], m->norm->weight));
      if (e == 2) continue;
      EXPECT_TRUE(same_bits(attention->qkv[e], a->qkv));
      EXPECT_TRUE(same_bits(attention->qkv_bias[e], a->qkv_bias));
      EXPECT_TRUE(same_bits(attention->norm->bias[e], a->norm->bias));
      EXPECT_TRUE(same_bits(attention->output[e], a->output));
    }
  }
  EXPECT_TRUE(same_bits(find(*made, 3).first->qkv, find(*dense, 7).first->qkv));
  EXPECT_TRUE(same_bits(made->norm->weight, dense->norm->weight));
  EXPECT_TRUE(same_bits(made->norm->bias, dense->norm->bias));
  EXPECT_TRUE(same_bits(made->position, dense->position));
  // The start is scrambled: nobody is favoured.
  for (const auto& router : routers_of(*made)) EXPECT_EQ(router->config().in_order_steps, 0);
}

// A pool may be of more layers than it has modules: the last give nothing.
TEST(Assemble, LeavesOutWhatAThinnedPoolHasNoPlaceFor) {
  const auto dense = lively_model(dense_config(10));
  const auto made = assemble(*dense, modules(2, 3, 4, kPreserving), {.pool = 4});
  const std::vector<AssembledLayer> layers = assembled_layers(dense->config(), made->config(), 4);
  ASSERT_EQ(layers.size(), 4u);
  EXPECT_EQ(layers[2].first, 5);
  EXPECT_EQ(layers[3].first, 9);
  EXPECT_EQ(message_of(dense_config(6), modules(2, 3, 4, kPreserving), {.pool = 2}),
            "a pool of 2 dense layers is too small for layer 1 of the assembly, which has 2 "
            "attention and 3 mlp modules");
}

TEST(Assemble, SaysWhatDoesNotFit) {
  const Config target = modules(3, 3, 3, kPreserving);
  EXPECT_EQ(message_of(dense_config(9), target, {}),
            "the assembly is made of 8 dense layers (1 + 3 + 3 + 1), but the dense model has 9");
  const AssembleOptions preserving{.start = AssemblyStart::preserving};
  EXPECT_EQ(message_of(dense_config(8), modules(2, 3, 3, kPreserving), preserving),
            "layer 1 of the assembly has 2 attention and 3 mlp modules: a preserving start keeps "
            "every layer whole");
  EXPECT_EQ(message_of(dense_config(8), modules(3, 3, 3, "in_order_steps = 5"), preserving),
            "branch.ffn.route.weight must be \"ste\" for a preserving start, where each module "
            "counts in full, found \"raw\"");
  EXPECT_EQ(message_of(dense_config(8), modules(3, 3, 3, "weight = \"ste\""), preserving),
            "branch.ffn.route.in_order_steps must be above 0 for a preserving start, found 0");
  // Fewer rounds than modules.
  EXPECT_NE(message_of(dense_config(8), modules(3, 3, 2, "weight = \"ste\""),
                       {.start = AssemblyStart::preserving, .in_order_steps = 4})
                .find("in_order_steps needs a round for each of 3 experts, found 2"),
            std::string::npos);
  Config other = dense_config(8);
  other.model.vocab_size = 60;
  EXPECT_EQ(message_of(other, target, {}), "model.vocab_size is 61, but the dense model has 60");
  EXPECT_EQ(message_of(target, target, {}).substr(0, 50),
            "the assembly is made of 8 dense layers (1 + 3 + 3 ");
}

TEST(Assemble, NamesTheFirstWeightOfAnotherShape) {
  const auto fails = [](const Config& dense, const Config& target) -> std::string {
    try {
      assemble(*lively_model(dense), target, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  Config wide = dense_config(8);
  std::get<MlpConfig>(wide.branch.at("mlp").form).intermediate_size = 100;
  EXPECT_EQ(
      fails(wide, modules(3, 3, 3, kPreserving)),
      "layers.0.mlp.up must be [128, 32] for the assembly but is [100, 32] in the dense model");
  Config heads = dense_config(8);
  std::get<AttentionConfig>(heads.branch.at("attention").form).num_attention_heads = 2;
  EXPECT_EQ(fails(heads, modules(3, 3, 3, kPreserving)),
            "layers.0.attention has 2 query and 2 key-value heads of width 16 in the dense model, "
            "but the assembly has 4 and 4 of width 8");
  Config plain = dense_config(8);
  std::get<MlpConfig>(plain.branch.at("mlp").form).bias = false;
  EXPECT_EQ(fails(plain, modules(3, 3, 3, kPreserving)),
            "layers.0.mlp.up_bias is wanted, but the dense model has none");
}

}  // namespace
}  // namespace pointwork::test
