// Mixture-of-Modules: attention whose weights are chosen, SKIP, and the special cases that the
// grammar spells.

#include <gtest/gtest.h>

#include "pointwork/nn/attention.h"
#include "pointwork/nn/mlp.h"
#include "tests/support/lively.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

Config attention_config(const std::string& route) {
  return small_config(
      "[branch.mha]\nkind = \"attention\"\nqkv_bias = true\noutput_bias = true\nprojection_route = "
      "{ " +
          route + " }\n",
      "layers = [\"mha\"]");
}

Attention& attention_of(Model& model, size_t layer = 0) {
  for (const auto& module : model.layers()[layer]->modules()) {
    if (auto* attention = dynamic_cast<Attention*>(module.get())) return *attention;
  }
  fail("layer ", layer, " has no attention");
}

TokenRouter& router_of(Branch& branch) {
  for (const auto& module : branch.modules()) {
    if (auto* router = dynamic_cast<TokenRouter*>(module.get())) return *router;
  }
  fail("no router");
}

// Every row to one choice, by a bias that no logit outweighs.
void send_all(TokenRouter& router, int64_t choice) {
  const torch::NoGradGuard no_grad;
  router.weight.zero_();
  router.output_bias.zero_();
  router.output_bias[choice] = 50;
}

Tensor stream(torch::Dtype dtype = torch::kFloat32) { return normal({48, 32}, 5, dtype); }

const std::string kMlpRouter = "router = \"mlp\", router_size = 8, num_experts = 3, num_noop = 1";

// At inference no weight of a round is read that every row skips.
TEST(Modules, ASkippedRoundIsTheIdentityAndReadsNothing) {
  for (const std::string skip : {"zero", "masked"}) {
    const auto model =
        lively_model(attention_config(kMlpRouter + ", noop_key_value = \"" + skip + "\""));
    Attention& attention = attention_of(*model);
    send_all(router_of(attention), 3);
    Context train{.rows = uniform_rows(2, 24, torch::kCPU)};
    EXPECT_TRUE(same_bits(attention.add_to(stream(), train).delta, stream()));
    const torch::NoGradGuard no_grad;
    for (Tensor* weight : {&attention.qkv, &attention.output, &attention.norm->weight})
      weight->fill_(std::nan(""));
    KvCache cache(1, 2, 24);
    Context ctx{.rows = uniform_rows(2, 24, torch::kCPU), .routing = Routing::inference};
    EXPECT_TRUE(same_bits(attention.add_to(stream(), ctx).delta, stream()));
    ctx.cache = &cache;
    EXPECT_TRUE(same_bits(attention.add_to(stream(), ctx).delta, stream()));
    EXPECT_EQ(largest(attention.forward(stream(), {}, train).delta.nan_to_num()), 0);
    // A key and a value of 0 have their place; masked ones have none.
    EXPECT_EQ(cache.length(0, 1), skip == "zero" ? 24 : 0);
  }
}

// What a row of no expert does to those after it: under zero it takes its share, under masked none.
TEST(Modules, SkippedKeysAreZeroOrAbsent) {
  for (const std::string skip : {"zero", "masked"}) {
    const auto model = lively_model(
        attention_config("num_experts = 1, num_noop = 1, weight = \"none\", noop_key_value = \"" +
                         skip + "\""),
        torch::kFloat64);
    Attention& attention = attention_of(*model);
    const Tensor x = stream(torch::kFloat64);
    Context ctx{.rows = uniform_rows(2, 24, torch::kCPU)};
    const Output out = attention.forward(x, ctx);
    const Tensor enters = out.routes.at(0).choice.select(1, 0).eq(0);
    ASSERT_GT(enters.sum().item<int64_t>(), 5);
    ASSERT_LT(enters.sum().item<int64_t>(), 43);
    // The same attention with one set of weights.
    const auto plain = lively_model(
        small_config("[branch.mha]\nkind = \"attention\"\nqkv_bias = true\noutput_bias = true\n",
                     "layers = [\"mha\"]"),
        torch::kFloat64);
    Attention& single = attention_of(*plain);
    const torch::NoGradGuard no_grad;
    single.norm->weight.copy_(attention.norm->weight[0]);
    single.norm->bias.copy_(attention.norm->bias[0]);
    single.qkv.copy_(attention.qkv[0]);
    single.qkv_bias.copy_(attention.qkv_bias[0]);
    single.output.copy_(attention.output[0]);
    single.output_bias.copy_(attention.output_bias[0]);
    if (skip == "masked") {
      // Row by row on the rows that entered alone.
      for (int64_t b = 0; b < 2; ++b) {
        const Tensor in = enters.slice(0, 24 * b, 24 * (b + 1)).nonzero().squeeze(1);
        Context own{.rows = uniform_rows(1, in.size(0), torch::kCPU)};
        const Tensor want =
            single.forward(x.slice(0, 24 * b, 24 * (b + 1)).index_select(0, in), own).delta;
        const Tensor got = out.delta.slice(0, 24 * b, 24 * (b + 1)).index_select(0, in);
        EXPECT_LE((want - got).abs().max().item<double>(), 1e-12);
      }
    } else {
      // With more rows of no expert before it a row's attention is spread thinner: both differ from
      // the plain one exactly where a skipped row stands before.
      const Tensor want = single.forward(x, ctx).delta;
      for (int64_t b = 0; b < 2; ++b) {
        bool skipped = false;
        for (int64_t t = 24 * b; t < 24 * (b + 1); ++t) {
          if (!enters[t].item<bool>()) {
            skipped = true;
            EXPECT_EQ(largest(out.delta[t]), 0);
          } else if (skipped) {
            EXPECT_GT((want[t] - out.delta[t]).abs().max().item<double>(), 1e-9);
          } else {
            EXPECT_LE((want[t] - out.delta[t]).abs().max().item<double>(), 1e-12);
          }
        }
      }
    }
  }
}

// k = N with equal weights: the mean of outputs, of summed queries, keys and values.
TEST(Modules, AllWithEqualWeightsAreTheMeanOfOutputsAndTheSumOfProjections) {
  const auto model = lively_model(
      attention_config("num_experts = 3, top_k = 3, weight = \"renormalised\""), torch::kFloat64);
  Attention& a = attention_of(*model);
  router_of(a).weight.data().zero_();
  const Tensor x = stream(torch::kFloat64);
  Context ctx{.rows = uniform_rows(2, 24, torch::kCPU)};
  const Tensor got = a.forward(x, ctx).delta;
  const Tensor even = torch::layer_norm(x, {32}, {}, {}, 1e-5);
  Tensor projected, output, bias;
  for (int64_t e = 0; e < 3; ++e) {
    const Tensor row = even * a.norm->weight[e] + a.norm->bias[e];
    const Tensor own = torch::linear(row, a.qkv[e], a.qkv_bias[e]);
    projected = e == 0 ? own : projected + own;
  }
  const auto heads = projected.view({2, 24, 12, 8}).transpose(1, 2).split({4, 4, 4}, 1);
  const Tensor mixed =
      at::scaled_dot_product_attention(heads[0], heads[1], heads[2], {}, 0.0, /*is_causal=*/true)
          .transpose(1, 2)
          .reshape({48, 32});
  const Tensor want = torch::linear(mixed, a.output.mean(0), a.output_bias.mean(0));
  EXPECT_LE((got - want).abs().max().item<double>(), tolerance_of(want));
}

// The router's gradient at k = 1 comes through ste, not through a renormalised weight.
TEST(Modules, TheLanguageModelsLossReachesTheRouterAtOneChoice) {
  for (const bool ste : {true, false}) {
    const auto model = lively_model(
        attention_config(kMlpRouter + ", weight = \"" + (ste ? "ste" : "none") + "\""));
    Attention& attention = attention_of(*model);
    Context ctx{.rows = uniform_rows(2, 24, torch::kCPU)};
    attention.forward(stream(), ctx).delta.square().sum().backward();
    const Tensor grad = router_of(attention).weight.grad();
    if (ste)
      EXPECT_GT(largest(grad), 0);
    else
      EXPECT_TRUE(!grad.defined() || largest(grad) == 0);
  }
}

// A gru's state belongs to a row, and begins anew in each repeat.
TEST(Modules, StateIsOfARowAndOfARepeat) {
  const auto model = lively_model(config_named("mom"), torch::kFloat64);
  Branch& rounds = *model->layers()[1];
  EXPECT_EQ(rounds.routers(), 0);
  const Tensor x = stream(torch::kFloat64);
  Context both{.rows = uniform_rows(2, 24, torch::kCPU)},
      one{.rows = uniform_rows(1, 24, torch::kCPU)};
  const Output all = rounds.forward(x, both), again = rounds.forward(x, both),
               alone = rounds.forward(x.slice(0, 24, 48), one);
  EXPECT_TRUE(same_bits(all.delta, again.delta));
  EXPECT_TRUE(all.state.empty());
  ASSERT_EQ(all.routes.size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(all.routes[i].choice.slice(0, 24, 48).equal(alone.routes[i].choice));
    EXPECT_EQ(all.routes[i].round, static_cast<int64_t>(i) / 2);
  }
  // What the rounds hand on is what a router makes of a row, and it changes the next scores.
  TokenRouter& router = router_of(rounds);
  RouterState state, none;
  const Tensor before = router.forward(x, state, both).logits;
  ASSERT_EQ(state.hidden.sizes(), at::IntArrayRef({48, 20}));
  const Tensor with = router.forward(x, state, both).logits,
               without = router.forward(x, none, both).logits;
  EXPECT_TRUE(same_bits(before, without));
  EXPECT_GT((with - without).abs().max().item<double>(), 1e-6);
  EXPECT_TRUE(same_bits(before, all.routes[0].logits));
}

// Universal Transformer: repeats of one set of weights are what modules of one are without a route.
TEST(Modules, OfOneAreSharedLayers) {
  const Config shared =
      small_config(kDense + "[branch.rounds]\nkind = \"repeat\"\nof = \"dense\"\ntimes = 3\n",
                   "layers = [\"rounds\"]");
  const Config modules = small_config(
      kDense +
          "[branch.mha]\nkind = \"attention\"\nnum_attention_heads = 4\nprojection_route = { "
          "num_experts = 1, weight = \"none\" }\n[branch.round]\nkind = \"chain\"\nof = [\"mha\", "
          "\"mlp\"]\n[branch.rounds]\nkind = \"repeat\"\nof = \"round\"\ntimes = 3\n",
      "layers = [\"rounds\"]");
  const auto a = lively_model(shared, torch::kFloat64),
             b = lively_model(modules, torch::kFloat64, 9);
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> from, to;
  for (const auto& p : a->named_parameters()) from.push_back(p.value());
  for (const auto& p : b->named_parameters())
    if (p.key().find(".router.") == std::string::npos) to.push_back(p.value());
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < from.size(); ++i) to[i].copy_(from[i].view_as(to[i]));
  const Ragged batch = uniform({random_tokens(24, 1), random_tokens(24, 2)});
  const Seen want = look(*a, batch, Routing::training), got = look(*b, batch, Routing::training);
  EXPECT_LE((want.logits - got.logits).abs().max().item<double>(), tolerance_of(want.logits));
}

// Early exit: from the first no-op on a row takes none of the block, and nobody sees it there.
TEST(Modules, AnAbsorbingSkipIsEarlyExit) {
  const auto model = lively_model(config_named("mom_early_exit"));
  const Ragged batch = uniform({random_tokens(24, 3), random_tokens(24, 4)});
  for (const Routing routing : {Routing::training, Routing::inference}) {
    const Seen seen = look(*model, batch, routing);
    std::map<std::string, std::vector<const LayerTrace*>> rounds;
    for (const LayerTrace& layer : seen.layers)
      rounds[layer.name.substr(0, layer.name.find('#'))].push_back(&layer);
    int64_t exits = 0, stays = 0;
    for (const auto& [name, layers] : rounds) {
      for (size_t t = 0; t < 48; ++t) {
        for (size_t i = 1; i < layers.size(); ++i) {
          if (layers[i - 1]->choice[t] != 1) continue;
          EXPECT_EQ(layers[i]->choice[t], 1);
          EXPECT_EQ(layers[i]->entered[t], 0);
          ++exits;
        }
        stays += layers.back()->choice[t] == 0;
      }
    }
    EXPECT_GT(exits, 0);
    EXPECT_GT(stays, 0);
  }
}

// Layer skip: a round of one block that rows pass by is MoD by token choice, round by round.
TEST(Modules, ARepeatedSkipIsLayerSkip) {
  const Config config = small_config(
      kDense +
          "[branch.skip]\nkind = \"routed\"\nof = \"dense\"\nroute = { choice = \"token\", "
          "num_noop "
          "= 1, dropless = true, weight = \"none\" }\n[branch.rounds]\nkind = \"repeat\"\nof = "
          "\"skip\"\ntimes = 3\n",
      "layers = [\"rounds\"]");
  const auto model = lively_model(config);
  const Ragged batch = uniform({random_tokens(24, 3)});
  const Seen seen = look(*model, batch, Routing::inference);
  std::set<std::vector<uint8_t>> patterns;
  for (const LayerTrace& layer : seen.layers) patterns.insert(layer.entered);
  EXPECT_GT(patterns.size(), 2u);
}

// k falls from all modules, softly weighed, to the k of the config.
TEST(Modules, ASoftStartTakesAllModulesAndThenFewer) {
  const auto model = lively_model(config_named("mom_soft"));
  const Ragged batch = uniform({random_tokens(24, 3)});
  for (const auto& [step, k] :
       {std::pair{0, 4}, std::pair{2, 3}, std::pair{4, 2}, std::pair{6, 1}}) {
    const Seen seen = look(*model, batch, Routing::training, nullptr, step);
    for (const LayerTrace& layer : seen.layers) EXPECT_EQ(layer.top_k, k) << step;
  }
}

}  // namespace
}  // namespace pointwork::test
