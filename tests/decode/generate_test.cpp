#include "pointwork/decode/generate.h"

#include <gtest/gtest.h>

#include <map>

#include "pointwork/base/check.h"
#include "pointwork/ops/device.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

// In float64, so that no choice and no draw lies within the roundings of another batch.
std::shared_ptr<Model> model_named(const std::string& name) {
  return lively_model(config_named(name), torch::kFloat64);
}

Tokens some_prompts() {
  return {random_tokens(3, 1), random_tokens(11, 2), random_tokens(1, 3), random_tokens(7, 4)};
}

std::vector<std::vector<int32_t>> tokens_of(const std::vector<Generation>& all) {
  std::vector<std::vector<int32_t>> tokens;
  for (const Generation& one : all) tokens.push_back(one.tokens);
  return tokens;
}

std::string error_of(Model& model, const Tokens& prompts, const GenerateOptions& options) {
  try {
    generate(model, prompts, options);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

TEST(Generate, ARowIsWhatItIsAloneWithItsOwnSeed) {
  for (const char* name : {"mod_predictor", "mod_random", "mod_modern"}) {
    const auto model = model_named(name);
    const Tokens prompts = some_prompts();
    const GenerateOptions options{.max_new_tokens = 10, .seed = 40};
    const auto together = tokens_of(generate(*model, prompts, options));
    EXPECT_EQ(together, tokens_of(generate(*model, prompts, options)));
    for (size_t r = 0; r < prompts.size(); ++r) {
      // As the command line names it: row r of seed 40 is the only row of seed 40 + r.
      GenerateOptions alone{.max_new_tokens = 10, .seed = 40 + r};
      EXPECT_EQ(generate(*model, {prompts[r]}, alone)[0].tokens, together[r]) << name;
      alone = {.max_new_tokens = 10, .seed = 999, .seeds = {40 + r}};
      EXPECT_EQ(generate(*model, {prompts[r]}, alone)[0].tokens, together[r]) << name;
    }
    // In another order, each with the seed it had.
    const Tokens turned = {prompts[2], prompts[0], prompts[3], prompts[1]};
    const auto again =
        tokens_of(generate(*model, turned, {.max_new_tokens = 10, .seeds = {42, 40, 43, 41}}));
    EXPECT_EQ(again, (Tokens{together[2], together[0], together[3], together[1]}));
    EXPECT_NE(together, tokens_of(generate(*model, prompts, {.max_new_tokens = 10, .seed = 41})));
  }
}

TEST(Generate, NeitherChunksNorTheCacheChangeAnything) {
  for (const char* name : {"dense", "mod_router", "mod_nested", "repeated"}) {
    const auto model = model_named(name);
    GenerateOptions options{.max_new_tokens = 10, .trace = true};
    const auto want = generate(*model, some_prompts(), options);
    for (const size_t chunk : {1, 3, 8}) {
      options.prefill_chunk = static_cast<int64_t>(chunk);
      const auto got = generate(*model, some_prompts(), options);
      EXPECT_EQ(tokens_of(got), tokens_of(want)) << name << ", chunks of " << chunk;
      for (size_t r = 0; r < want.size(); ++r) {
        EXPECT_EQ(got[r].depth, want[r].depth);
        for (const auto& pass : got[r].passes)
          for (const LayerTrace& layer : pass) EXPECT_LE(layer.reached.size(), chunk);
      }
    }
    options.cache = false;
    const auto got = generate(*model, some_prompts(), options);
    EXPECT_EQ(tokens_of(got), tokens_of(want)) << name;
    for (size_t r = 0; r < want.size(); ++r) {
      EXPECT_EQ(got[r].depth, want[r].depth);
      EXPECT_EQ(got[r].routed_share, want[r].routed_share);
    }
  }
}

TEST(Generate, GreedyTakesTheLikeliestOfTheUncachedForward) {
  const auto model = model_named("mod_predictor");
  std::vector<int32_t> all = random_tokens(5, 6);
  const Generation made =
      generate(*model, {all}, {.sampler = {.temperature = 0}, .max_new_tokens = 12})[0];
  for (const int32_t token : made.tokens) {
    const Seen seen = look(*model, ragged({all}), Routing::inference);
    EXPECT_EQ(seen.logits[-1].argmax().item<int64_t>(), token);
    all.push_back(token);
  }
}

TEST(Generate, TrainingRoutingSelectsOverTheSequenceSoFar) {
  for (const char* name : {"mod_predictor", "mod_random"}) {
    const auto model = model_named(name);
    const Tokens prompts = {random_tokens(5, 6), random_tokens(9, 7)};
    const GenerateOptions options{.sampler = {.temperature = 0},
                                  .max_new_tokens = 8,
                                  .seeds = {100, 101},
                                  .routing = Routing::training,
                                  .step = kSettled,
                                  .trace = true};
    Config config = model->config();
    const std::vector<Generation> made = generate(*model, prompts, options);
    for (size_t r = 0; r < prompts.size(); ++r) {
      std::vector<int32_t> all = prompts[r];
      Seen seen;
      for (const int32_t token : made[r].tokens) {
        Ragged batch = uniform({all});
        batch.rows.key[0] = 100 + static_cast<int64_t>(r);
        const torch::NoGradGuard no_grad;
        Context ctx{
            .rows = batch.rows, .step = kSettled, .seed = static_cast<uint64_t>(config.train.seed)};
        const ModelOutput out = model->forward(batch.token, ctx);
        EXPECT_EQ(model->logits(out.hidden)[-1].argmax().item<int64_t>(), token);
        seen.layers = trace_routes(out.routes, batch.token.size(0));
        all.push_back(token);
      }
      // Of all passes the last one counts: the earlier were selections over less.
      ASSERT_EQ(made[r].passes.size(), 1u);
      ASSERT_EQ(made[r].passes[0].size(), seen.layers.size());
      for (size_t l = 0; l < seen.layers.size(); ++l)
        EXPECT_EQ(made[r].passes[0][l].entered, seen.layers[l].entered);
    }
  }
}

TEST(Generate, EachRowFinishesOnItsOwn) {
  const auto model = model_named("mod_predictor");
  const Tokens prompts = some_prompts();
  GenerateOptions options{.max_new_tokens = 12, .trace = true};
  const auto free = generate(*model, prompts, options);
  for (const Generation& one : free) {
    EXPECT_EQ(one.tokens.size(), 12u);
    EXPECT_EQ(one.finish, Finish::length);
  }
  // The fourth new token of row 1 ends a row; on_token stops row 3 after its second.
  options.end_tokens = {free[1].tokens[3]};
  std::map<int64_t, std::vector<int32_t>> told;
  options.on_token = [&](int64_t row, int32_t token) {
    told[row].push_back(token);
    return !(row == 3 && told[row].size() == 2);
  };
  const auto made = generate(*model, prompts, options);
  for (size_t r = 0; r < prompts.size(); ++r) {
    std::vector<int32_t> want = free[r].tokens;
    Finish finish = Finish::length;
    const auto end = std::find(want.begin(), want.end(), options.end_tokens[0]);
    if (r == 3 && end - want.begin() >= 2) {
      want.resize(2);
      finish = Finish::stop;
    } else if (end != want.end()) {
      want.erase(end, want.end());
      finish = Finish::end;
    }
    EXPECT_EQ(made[r].tokens, want) << r;
    EXPECT_EQ(made[r].finish, finish) << r;
    EXPECT_EQ(told[static_cast<int64_t>(r)], want) << r;
    // The last token drawn is not run, an end token neither; and nothing is run afterwards.
    const size_t run = prompts[r].size() + want.size() - (finish == Finish::end ? 0 : 1);
    EXPECT_EQ(made[r].depth.size(), run) << r;
    EXPECT_EQ(made[r].passes.size(), 1 + run - prompts[r].size()) << r;
  }
  EXPECT_EQ(made[1].finish, Finish::end);
  EXPECT_EQ(made[3].finish, Finish::stop);
}

TEST(Generate, NothingToAddRunsThePromptAlone) {
  const auto model = model_named("mod_predictor");
  const auto made = generate(*model, some_prompts(), {.max_new_tokens = 0});
  for (size_t r = 0; r < made.size(); ++r) {
    EXPECT_TRUE(made[r].tokens.empty());
    EXPECT_EQ(made[r].finish, Finish::length);
    EXPECT_EQ(made[r].depth.size(), some_prompts()[r].size());
  }
  EXPECT_TRUE(generate(*model, {}, {}).empty());
}

TEST(Generate, LearnedPositionsEndARowAndRotaryOnesGoOn) {
  const auto learned = model_named("mod_predictor");
  const Tokens prompts = {random_tokens(24, 1), random_tokens(22, 2), random_tokens(3, 3)};
  const auto made = generate(*learned, prompts, {.max_new_tokens = 10});
  // The one after the last position is drawn but has no place to be run.
  EXPECT_EQ(made[0].tokens.size(), 1u);
  EXPECT_EQ(made[0].finish, Finish::context);
  EXPECT_EQ(made[1].tokens.size(), 3u);
  EXPECT_EQ(made[1].finish, Finish::context);
  EXPECT_EQ(made[2].tokens.size(), 10u);
  EXPECT_EQ(made[2].finish, Finish::length);
  for (const auto& one :
       generate(*learned, prompts, {.max_new_tokens = std::numeric_limits<int64_t>::max()})) {
    EXPECT_EQ(one.finish, Finish::context);
  }

  const auto rotary = model_named("mod_modern");
  for (const auto& one : generate(*rotary, prompts, {.max_new_tokens = 10})) {
    EXPECT_EQ(one.tokens.size(), 10u);
    EXPECT_EQ(one.finish, Finish::length);
  }
  EXPECT_EQ(generate(*rotary, {random_tokens(40, 1)}, {.max_new_tokens = 1})[0].tokens.size(), 1u);

  for (const auto& [finish, name] : std::map<Finish, std::string>{{Finish::length, "length"},
                                                                  {Finish::end, "end"},
                                                                  {Finish::stop, "stop"},
                                                                  {Finish::context, "context"}})
    EXPECT_EQ(name_of_finish(finish), name);
}

// Both ways through cached attention: a long chunk, and steps of one token.
TEST(Generate, ServesBfloat16) {
  for (const char* name : {"dense_modern", "mod_predictor", "mod_threshold"}) {
    const auto model = lively_model(config_named(name), torch::kBFloat16);
    const Tokens prompts = {random_tokens(16, 1), random_tokens(13, 2), random_tokens(3, 3)};
    for (const auto& one : generate(*model, prompts, {.max_new_tokens = 9})) {
      EXPECT_EQ(one.tokens.size(), 9u);
      if (std::string(name) != "dense_modern") {
        EXPECT_TRUE(one.routed_share > 0 && one.routed_share < 1) << name;
      }
    }
  }
}

TEST(Generate, WhatCannotBeIsNamed) {
  const auto model = model_named("mod_predictor");
  const Tokens good = {{1, 2}, {3}};
  const std::vector<std::tuple<Tokens, GenerateOptions, std::vector<std::string>>> cases = {
      {{{1, 2}, {}}, {}, {"prompt 1", "empty"}},
      {{{1, 61}}, {}, {"prompt 0", "61", "vocabulary has 61"}},
      {{{1}, {0, -1}}, {}, {"prompt 1", "-1"}},
      {{{1}, random_tokens(25, 1)}, {}, {"prompt 1", "25", "24"}},
      {good, {.sampler = {.top_p = 0}}, {"top-p"}},
      {good, {.max_new_tokens = -1}, {"max-new-tokens", "-1"}},
      {good, {.prefill_chunk = 0}, {"chunk", "0"}},
      {good, {.seeds = {1, 2, 3}}, {"seed", "2", "3"}}};
  for (const auto& [prompts, options, parts] : cases) {
    const std::string text = error_of(*model, prompts, options);
    for (const std::string& part : parts)
      EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' not in: " << text;
  }
  const torch::NoGradGuard no_grad;
  model->norm->weight.fill_(NAN);
  EXPECT_NE(error_of(*model, good, {}).find("damaged"), std::string::npos);
}

TEST(Generate, ATraceSaysWhoWentWhere) {
  for (const char* name : {"mod_predictor", "repeated_nested", "dense"}) {
    const auto model = model_named(name);
    const Tokens prompts = some_prompts();
    const auto made = generate(
        *model, prompts,
        {.max_new_tokens = 9, .prefill_chunk = 4, .seeds = {100, 101, 102, 103}, .trace = true});
    for (size_t r = 0; r < prompts.size(); ++r) {
      std::vector<int32_t> all = prompts[r];
      all.insert(all.end(), made[r].tokens.begin(), made[r].tokens.end() - 1);
      Ragged batch = ragged({all});
      batch.rows.key[0] = 100 + static_cast<int64_t>(r);
      const Seen want = look(*model, batch, Routing::inference, nullptr, 0);
      std::map<std::string, std::vector<uint8_t>> reached, entered;
      size_t rows = 0;
      for (const auto& pass : made[r].passes) {
        for (const LayerTrace& layer : pass) {
          reached[layer.name].resize(rows, 0);
          entered[layer.name].resize(rows, 0);
          const auto append = [](auto& to, const auto& from) {
            to.insert(to.end(), from.begin(), from.end());
          };
          append(reached[layer.name], layer.reached);
          append(entered[layer.name], layer.entered);
        }
        rows += pass.empty() ? 0 : pass[0].reached.size();
      }
      double stood = 0, went = 0;
      for (const LayerTrace& layer : want.layers) {
        reached[layer.name].resize(rows, 0);
        entered[layer.name].resize(rows, 0);
        EXPECT_EQ(reached[layer.name], layer.reached) << name << ", " << layer.name;
        EXPECT_EQ(entered[layer.name], layer.entered) << name << ", " << layer.name;
        stood += std::accumulate(layer.reached.begin(), layer.reached.end(), 0.0);
        went += std::accumulate(layer.entered.begin(), layer.entered.end(), 0.0);
      }
      EXPECT_EQ(made[r].depth, depth_shares(want.layers, static_cast<int64_t>(all.size())));
      EXPECT_DOUBLE_EQ(made[r].routed_share, stood > 0 ? went / stood : 1);
      if (std::string(name) != "dense") {
        EXPECT_TRUE(went > 0 && went < stood);
      }
    }
  }
}

// Neither weights nor keys: the block's weights are made NaN, which whoever reads them would show.
TEST(Generate, ABlockThatNoRowTakesIsNotRead) {
  for (const char* name : {"mod_predictor", "mod_modern", "mod_attention_only", "mod_mlp_only"}) {
    for (const bool composite : {false, true}) {
      const auto guard = composite ? std::make_unique<CompositeGuard>() : nullptr;
      const auto model = model_named(name);
      const auto decide = [&](double bias) {
        const torch::NoGradGuard no_grad;
        for (const auto& router : depth_routers_of(*model)) {
          router->predictor->output.fill_(0);
          router->predictor->output_bias.fill_(bias);
        }
      };
      const auto poison = [&] {
        const torch::NoGradGuard no_grad;
        for (auto& item : model->named_parameters()) {
          if (item.key().find(".body.") != std::string::npos) item.value().fill_(NAN);
        }
      };
      const Tokens tokens = {random_tokens(6, 1), random_tokens(9, 2)};
      // Everyone enters the first rows, no one the others.
      KvCache cache(model->sites(), 2, 24), fresh(model->sites(), 2, 24);
      decide(1);
      look(*model, ragged(tokens, {0, 0}, {4, 5}), Routing::inference, &cache);
      decide(-1);
      const auto unharmed = tokens_of(generate(*model, tokens, {.max_new_tokens = 8}));
      std::vector<int64_t> lengths;
      int64_t skipped_sites = 0;
      for (int64_t site = 0; site < model->sites(); ++site)
        lengths.push_back(cache.length(site, 1));
      poison();
      const Seen after = look(*model, ragged(tokens, {4, 5}, {6, 9}), Routing::inference, &cache);
      EXPECT_TRUE(after.logits.isfinite().all().item<bool>()) << name;
      EXPECT_EQ(tokens_of(generate(*model, tokens, {.max_new_tokens = 8})), unharmed) << name;
      look(*model, ragged(tokens), Routing::inference, &fresh);
      for (int64_t site = 0; site < model->sites(); ++site) {
        // A dense block's site grows, a routed one's does not, and never is one without its rows.
        const bool grew = cache.length(site, 1) > lengths[static_cast<size_t>(site)];
        EXPECT_EQ(fresh.length(site, 1), grew ? 9 : 0);
        skipped_sites += !grew;
      }
      EXPECT_EQ(skipped_sites, std::string(name) == "mod_mlp_only" ? 0 : 2) << name;
    }
  }
}

}  // namespace
}  // namespace pointwork::test
