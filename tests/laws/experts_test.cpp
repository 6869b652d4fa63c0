// Law 9: permuting experts with their weights and router rows changes nothing. And law 6 once more,
// where batch-mates flood every expert.

#include <gtest/gtest.h>

#include "pointwork/decode/generate.h"
#include "pointwork/nn/attention.h"
#include "pointwork/nn/mlp.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

std::vector<NamedConfig> configs_with_token_choice() {
  std::vector<NamedConfig> all = every_config();
  std::erase_if(all, [](const NamedConfig& one) { return !has_token_choice(one.config); });
  return all;
}

class Experts : public ::testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(Laws, Experts, ::testing::ValuesIn(configs_with_token_choice()), name_of);

void permute(Tensor tensor, int64_t experts, int64_t dim = 0) {
  if (!tensor.defined()) return;
  const torch::NoGradGuard no_grad;
  Tensor own = tensor.slice(dim, 0, experts);
  own.copy_(own.roll(1, dim).clone());
}

// Expert e of the one model is expert permuted(e) of the other.
int32_t permuted(int32_t e, int64_t experts) {
  const auto n = static_cast<int32_t>(experts);
  return e < 0 || e >= n ? e : (e + 1) % n;
}

void permute(Model& model) {
  for (const auto& module : model.modules(false)) {
    const auto* routed = dynamic_cast<Routed*>(module.get());
    const auto* attention = dynamic_cast<Attention*>(module.get());
    const auto router = std::dynamic_pointer_cast<TokenRouter>(routed      ? routed->router
                                                               : attention ? attention->router
                                                                           : nullptr);
    if (!router) continue;
    const int64_t experts = router->config().num_experts;
    permute(router->weight, experts);
    permute(router->bias, experts);
    permute(router->output_bias, experts);
    permute(router->round_bias, experts, 1);
    if (attention) {
      for (const Tensor& own :
           {attention->qkv, attention->qkv_bias, attention->output, attention->output_bias,
            attention->norm->weight, attention->norm->bias})
        permute(own, experts);
    } else if (experts > 1) {
      for (Tensor& parameter : routed->body->parameters()) permute(parameter, experts);
    }
  }
}

TEST_P(Experts, PermutedWithTheirWeightsChangeNothing) {
  const auto was = lively_model(GetParam().config), is = lively_model(GetParam().config);
  permute(*is);
  const Tokens tokens = {random_tokens(24, 81), random_tokens(24, 82)};
  for (const Routing routing : {Routing::training, Routing::inference}) {
    const Seen want = look(*was, uniform(tokens), routing),
               got = look(*is, uniform(tokens), routing);
    EXPECT_LE((want.logits - got.logits).abs().max().item<double>(), tolerance_of(want.logits));
    int64_t moved = 0;
    for (size_t i = 0; i < want.layers.size(); ++i) {
      const LayerTrace &a = want.layers[i], &b = got.layers[i];
      EXPECT_EQ(a.entered, b.entered);
      for (size_t j = 0; j < a.choice.size(); ++j) {
        EXPECT_EQ(permuted(a.choice[j], a.experts), b.choice[j]);
        moved += a.choice[j] != b.choice[j];
      }
      if (a.experts > 1) EXPECT_GT(moved, 0);
    }
  }
}

// Whoever shares its batch, and however many want the victim's experts.
TEST_P(Experts, FloodedByBatchMatesServeTheVictimAlike) {
  const auto model = lively_model(GetParam().config);
  const std::vector<int32_t> victim = random_tokens(9, 91);
  const auto tokens_with = [&](const Tokens& mates) {
    Tokens prompts = {victim};
    prompts.insert(prompts.end(), mates.begin(), mates.end());
    GenerateOptions options;
    options.max_new_tokens = 12;
    options.sampler.temperature = 1;
    options.trace = true;
    return generate(*model, prompts, options)[0];
  };
  const Generation alone = tokens_with({});
  // Copies of the victim want just its experts; runs of one token want one expert each.
  Tokens flood(6, victim);
  for (int32_t id = 0; id < 10; ++id) flood.push_back(std::vector<int32_t>(20, id));
  const Generation beside = tokens_with(flood);
  EXPECT_EQ(alone.tokens, beside.tokens);
  // Of rows that stood before a router: where none did, a pass made no route.
  const auto choices = [](const Generation& one) {
    std::map<std::string, std::vector<int32_t>> all;
    for (const auto& pass : one.passes) {
      for (const LayerTrace& layer : pass) {
        for (size_t i = 0; i < layer.choice.size(); ++i) {
          if (layer.reached[i / static_cast<size_t>(layer.top_k)])
            all[layer.name].push_back(layer.choice[i]);
        }
      }
    }
    return all;
  };
  EXPECT_EQ(choices(alone), choices(beside));
  EXPECT_FALSE(choices(alone).empty());
}

}  // namespace
}  // namespace pointwork::test
