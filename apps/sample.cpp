// sample: continue prompts, streaming, and show where the depth went.

#include <cmath>
#include <cstdio>

#include "apps/common.h"
#include "apps/continuation.h"
#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/log/expert_text.h"
#include "pointwork/log/routing_text.h"
#include "pointwork/log/terminal.h"
#include "pointwork/route/passes.h"

namespace pointwork::app {
namespace {

struct Options {
  std::string path, prompt, prompts_file, routing = "inference";
  std::vector<std::string> stop;
  GenerateOptions generate;
  bool show_routing = false;
};

// One a line, whatever ends the line; blank lines divide and are none.
std::vector<std::string> read_prompts(const Options& options) {
  if (options.prompts_file.empty()) return {options.prompt};
  const std::string text = read_file(options.prompts_file);
  std::vector<std::string> prompts;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") != std::string::npos) prompts.push_back(std::move(line));
    begin = end + 1;
  }
  check(!prompts.empty(), "--prompts ", options.prompts_file,
        ": holds no prompt, expected one a line");
  return prompts;
}

// Of token choice, each layer's choices of every token that was run.
std::vector<LayerTrace> expert_traces(const Continuation& c) {
  std::vector<LayerTrace> layers = join_passes(c.generation.passes);
  std::erase_if(layers, [](const LayerTrace& layer) { return layer.experts == 0; });
  return layers;
}

Json to_json(const Continuation& c) {
  Json json = {{"prompt", c.prompt},
               {"text", c.text},
               {"tokens", c.generation.tokens},
               {"finish_reason", c.finish_reason},
               {"routed_share", c.generation.routed_share}};
  for (const LayerTrace& layer : expert_traces(c)) {
    Json choice = Json::array();
    for (auto at = layer.choice.begin(); at != layer.choice.end(); at += layer.top_k)
      choice.push_back(std::vector<int32_t>(at, at + layer.top_k));
    json["experts"].push_back(
        {{"layer", layer.name}, {"num_experts", layer.experts}, {"choice", choice}});
  }
  return json;
}

void print_shares(const Continuation& c, const Tokenizer& tokenizer) {
  std::vector<TokenShare> tokens;
  for (size_t i = 0; i < c.all_tokens.size(); ++i) {
    // The last token was drawn but never run.
    const double share = i < c.generation.depth.size() ? c.generation.depth[i] : NAN;
    tokens.push_back({std::string(tokenizer.token_bytes(c.all_tokens[i])), share});
  }
  std::printf("%s\n", routing_text(tokens, use_colour(stdout)).c_str());
}

void print_experts(const Continuation& c, const Tokenizer& tokenizer) {
  const std::vector<LayerTrace> layers = expert_traces(c);
  if (layers.empty()) return;
  std::vector<std::string> names;
  for (const LayerTrace& layer : layers) names.push_back(layer.name);
  std::vector<TokenExperts> tokens;
  for (size_t t = 0; t < c.all_tokens.size(); ++t) {
    TokenExperts token{std::string(tokenizer.token_bytes(c.all_tokens[t])), {}};
    for (const LayerTrace& layer : layers) {
      std::vector<int> chosen;
      for (int64_t k = 0; t < layer.reached.size() && layer.reached[t] && k < layer.top_k; ++k) {
        const int32_t choice = layer.choice[t * static_cast<size_t>(layer.top_k) + k];
        chosen.push_back(layer.entered[t] && choice < layer.experts ? choice : -1);
      }
      token.choice.push_back(std::move(chosen));
    }
    tokens.push_back(std::move(token));
  }
  std::printf("\n%s\n", expert_text(names, tokens, terminal_width(stdout)).c_str());
}

int run(Options options, const Common& common) {
  options.generate.routing = options.routing == "training" ? Routing::training : Routing::inference;
  if (common.seed >= 0) options.generate.seed = static_cast<uint64_t>(common.seed);
  const std::vector<std::string> prompts = read_prompts(options);
  const Loaded loaded = load(options.path, common, /*needs_tokenizer=*/true);
  const bool streams = !common.json && !options.show_routing && prompts.size() == 1;

  ContinueOptions how{.generate = options.generate, .stop = options.stop};
  how.generate.step = loaded.checkpoint.step;
  how.generate.end_tokens = loaded.checkpoint.end_tokens;
  how.bounds = !loaded.checkpoint.carried.is_null();
  how.generate.trace = common.json || options.show_routing;
  // The prompt too stands there only once nothing about it can be refused any more.
  bool begun = false;
  const auto show = [&](const std::string& text) {
    if (!begun) std::fputs(prompts[0].c_str(), stdout);
    begun = true;
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  };
  if (streams) how.on_text = [&](size_t, const std::string& text) { show(text); };
  const std::vector<Continuation> all =
      continue_prompts(*loaded.model, *loaded.tokenizer, prompts, how);
  if (common.json) {
    Json samples = Json::array();
    for (const Continuation& one : all) samples.push_back(to_json(one));
    print_json(options.prompts_file.empty() ? samples[0] : Json{{"samples", samples}});
    return 0;
  }
  if (streams) show("\n");
  for (size_t i = 0; i < all.size() && !streams; ++i) {
    if (all.size() > 1) std::printf("%s[%zu]\n", i ? "\n" : "", i + 1);
    if (options.show_routing) {
      print_shares(all[i], *loaded.tokenizer);
      print_experts(all[i], *loaded.tokenizer);
    } else {
      std::printf("%s%s\n", all[i].prompt.c_str(), all[i].text.c_str());
    }
  }
  if (common.quiet) return 0;
  for (const Continuation& one : all) {
    if (one.generation.finish == Finish::context) {
      note(concat("stopped at the trained length of ",
                  loaded.checkpoint.config.model.max_position_embeddings,
                  " tokens: there are no learned positions beyond it"));
    } else if (one.past_trained_length) {
      note(concat("went past the trained length of ",
                  loaded.checkpoint.config.model.max_position_embeddings,
                  " tokens; rotary positions go on, but nothing was learned about them"));
    }
  }
  return 0;
}

}  // namespace

Run add_sample(CLI::App& command, Common& common) {
  const auto o = std::make_shared<Options>();
  SamplerOptions& s = o->generate.sampler;
  command
      .add_option("CHECKPOINT_OR_RUN", o->path,
                  "a checkpoint, a run (its newest valid checkpoint), or a Hugging Face folder")
      ->required();
  auto* prompt = command
                     .add_option("--prompt", o->prompt,
                                 "text to continue; empty, or not given: a new document")
                     ->type_name("TEXT");
  command
      .add_option("--prompts", o->prompts_file,
                  "a file with a prompt a line, blank lines left out, continued as one batch")
      ->type_name("FILE")
      ->excludes(prompt);
  command
      .add_option("--max-new-tokens", o->generate.max_new_tokens, "tokens a continuation, at most")
      ->type_name("N")
      ->check(whole_number(0))
      ->capture_default_str();
  command
      .add_option("--temperature", s.temperature,
                  "divides the logits; 0: always the most likely token")
      ->type_name("T")
      ->check(number("of at least 0", [](double t) { return t >= 0; }))
      ->capture_default_str();
  command.add_option("--top-k", s.top_k, "only the K most likely tokens; 0: all")
      ->type_name("K")
      ->check(whole_number(0))
      ->capture_default_str();
  command
      .add_option("--top-p", s.top_p, "the fewest most likely tokens that hold this probability")
      ->type_name("P")
      ->check(number("above 0 and at most 1", [](double p) { return p > 0 && p <= 1; }))
      ->capture_default_str();
  command
      .add_option("--min-p", s.min_p, "only tokens of at least this times the highest probability")
      ->type_name("P")
      ->check(number("of 0 to 1", [](double p) { return p >= 0 && p <= 1; }))
      ->capture_default_str();
  command
      .add_option("--repetition-penalty", s.repetition_penalty,
                  "divides the logits of tokens that were there; 1: none")
      ->type_name("R")
      ->check(number("above 0", [](double r) { return r > 0; }))
      ->capture_default_str();
  command
      .add_option("--stop", o->stop,
                  "text that ends a continuation and is not part of it; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  add_routing(command, o->routing);
  command.add_flag(
      "--show-routing", o->show_routing,
      "colour each token by the share of routed blocks it took; without colour, a digit after it; "
      "with token choice, also a table of the experts it chose");
  command.footer(
      "--seed N makes it repeatable: row r of --prompts draws from seed N + r.\n"
      "Examples:\n"
      "  pointwork sample quickstart/bible/mod --prompt \"In the beginning\" --temperature 0.8\n"
      "  pointwork sample quickstart/bible/mod --prompt \"And he said\" --max-new-tokens 60 "
      "--show-routing");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
