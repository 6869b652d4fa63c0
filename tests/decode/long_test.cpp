// Two hundred tokens for eight prompts of different lengths are those of the uncached forward, and
// of each row alone; so are the choices on the way.

#include <gtest/gtest.h>

#include "pointwork/decode/generate.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

constexpr int64_t kNew = 200;
constexpr size_t kLengths[] = {1, 2, 3, 5, 9, 17, 33, 60};

Config longer(const std::string& name) {
  Config config = config_named(name);
  config.model.max_position_embeddings = 260;
  return config;
}

// Entered or not, layer by layer, of every row that was run; a layer that nobody reached in a pass
// was entered by none.
std::map<std::string, std::vector<uint8_t>> choices_of(const Generation& made) {
  std::map<std::string, std::vector<uint8_t>> choices;
  size_t rows = 0;
  for (const auto& pass : made.passes) {
    for (const LayerTrace& layer : pass) {
      auto& all = choices[layer.name];
      all.resize(rows);
      all.insert(all.end(), layer.entered.begin(), layer.entered.end());
    }
    if (!pass.empty()) rows += pass[0].entered.size();
  }
  for (auto& [name, all] : choices) all.resize(rows);
  return choices;
}

// Whether logits that are off by no more than `error` may give another token: in a greedy choice if
// the likeliest loses to another once it is that much lower and the other as much higher; in a draw
// if a boundary is near, since each probability moves by e^(±2·error).
bool in_doubt(std::vector<float> logits, std::span<const int32_t> seen,
              const SamplerOptions& options, double uniform, double error) {
  const int32_t token = sample_token(logits, seen, options, uniform);
  if (options.temperature == 0) {
    logits[static_cast<size_t>(token)] -=
        static_cast<float>(2 * error * options.repetition_penalty * options.repetition_penalty);
    return sample_token(logits, seen, options, uniform) != token;
  }
  const double width = 2 * std::expm1(2 * error);
  const auto at = [&](double u) {
    return sample_token(logits, seen, options, std::clamp(u, 0x1p-53, 1 - 0x1p-53));
  };
  return at(uniform - width) != token || at(uniform + width) != token;
}

struct Case {
  const char* name;
  torch::Dtype dtype;
  SamplerOptions sampler;
};

// As it is served, greedily, without the loops that greedy text falls into; and drawn, with
// roundings small enough to tell draws apart.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* name : {"mod_predictor", "mod_router", "mod_random", "mod_threshold",
                           "mod_modern", "mod_nested", "switch", "moe_noops", "mode_staged"}) {
    all.push_back({name, torch::kFloat32, {.temperature = 0, .repetition_penalty = 1.2}});
    all.push_back({name, torch::kFloat64, {.top_p = 0.95}});
  }
  return all;
}

class Long : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Generate, Long, ::testing::ValuesIn(cases()), [](const auto& info) {
  return concat(info.param.name, info.param.sampler.temperature == 0 ? "_greedy" : "_drawn");
});

TEST_P(Long, BatchesAreTheUncachedForwardAndEachRowAlone) {
  const auto model = lively_model(longer(GetParam().name), GetParam().dtype);
  Tokens prompts;
  for (const size_t length : kLengths)
    prompts.push_back(random_tokens(static_cast<int64_t>(length), 200 + length));
  const GenerateOptions options{.sampler = GetParam().sampler,

                                .max_new_tokens = kNew,
                                .prefill_chunk = 50,
                                .seed = 70,
                                .trace = true};
  const std::vector<Generation> made = generate(*model, prompts, options);

  int64_t doubtful = 0, decisions = 0, compared = 0;
  for (size_t r = 0; r < prompts.size(); ++r) {
    ASSERT_EQ(made[r].tokens.size(), static_cast<size_t>(kNew));
    // One forward pass over all of it, without a cache.
    std::vector<int32_t> all = prompts[r];
    all.insert(all.end(), made[r].tokens.begin(), made[r].tokens.end() - 1);
    Ragged batch = ragged({all});
    batch.rows.key[0] = static_cast<int64_t>(options.seed + r);
    const torch::NoGradGuard no_grad;
    Context ctx{.rows = batch.rows,
                .routing = Routing::inference,
                .seed = static_cast<uint64_t>(model->config().train.seed)};
    ModelOutput out = model->forward(batch.token, ctx);
    Seen want{model->logits(out.hidden).contiguous(), std::move(out.routes), {}, {}};
    note_choices(*model, batch.token.size(0), want);
    const Doubts doubts = doubts_of(want, batch.rows);
    decisions += doubts.decisions + kNew;
    doubtful += doubts.near;
    // The sampler reads float32.
    const double error = GetParam().dtype == torch::kFloat32
                             ? tolerance_of(want.logits)
                             : 0x1p-23 * want.logits.abs().max().item<double>();

    // Up to the first row where another order of sums may turn a choice or a draw, all is equal.
    const auto choices = choices_of(made[r]);
    std::vector<int32_t> agreed = prompts[r];
    for (size_t t = 0; t < all.size() && !doubts.row[t]; ++t, ++compared) {
      for (const LayerTrace& layer : want.layers) {
        const auto found = choices.find(layer.name);
        ASSERT_EQ(found != choices.end() && found->second.at(t), layer.entered[t])
            << layer.name << ", row " << r << ", token " << t;
      }
      if (t + 1 < prompts[r].size()) continue;
      const size_t n = t + 1 - prompts[r].size();
      const std::span<const float> logits(want.logits[static_cast<int64_t>(t)].data_ptr<float>(),
                                          61);
      const double uniform = random_uniform(stream_key(options.seed + r, "sample"), n);
      const bool near =
          in_doubt({logits.begin(), logits.end()}, agreed, options.sampler, uniform, error);
      doubtful += near;
      if (near) break;
      ASSERT_EQ(made[r].tokens[n], sample_token(logits, agreed, options.sampler, uniform))
          << "row " << r << ", new token " << n;
      agreed.push_back(made[r].tokens[n]);
    }

    GenerateOptions own = options;
    own.seed = options.seed + r;
    own.prefill_chunk = 512;
    const Generation alone = generate(*model, {prompts[r]}, own)[0];
    agreed.erase(agreed.begin(), agreed.begin() + static_cast<std::ptrdiff_t>(prompts[r].size()));
    ASSERT_GE(alone.tokens.size(), agreed.size());
    EXPECT_TRUE(std::equal(agreed.begin(), agreed.end(), alone.tokens.begin())) << "row " << r;
    if (alone.tokens == made[r].tokens) EXPECT_EQ(choices_of(alone), choices) << "row " << r;
  }
  EXPECT_LE(doubtful, decisions / 1000) << "of " << decisions;
  EXPECT_GE(compared, 8 * kNew * 3 / 4);
}

// The same without any reference of ours: no cache, every step from the beginning.
TEST(Generate, WithoutTheCacheItIsTheSame) {
  const auto model = lively_model(longer("mod_predictor"), torch::kFloat64);
  const Tokens prompts = {random_tokens(3, 5), random_tokens(40, 6)};
  GenerateOptions options{.max_new_tokens = 100, .trace = true};
  const auto cached = generate(*model, prompts, options);
  options.cache = false;
  const auto uncached = generate(*model, prompts, options);
  for (size_t r = 0; r < prompts.size(); ++r) {
    EXPECT_EQ(cached[r].tokens, uncached[r].tokens);
    EXPECT_EQ(choices_of(cached[r]), choices_of(uncached[r]));
  }
}

}  // namespace
}  // namespace pointwork::test
