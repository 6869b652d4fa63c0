#include "apps/showcase.h"

#include <algorithm>

#include "apps/common.h"
#include "apps/continuation.h"
#include "pointwork/base/module_rounds.h"
#include "pointwork/files/file.h"
#include "pointwork/route/affinity.h"
#include "pointwork/train/objective.h"

namespace pointwork::app {
namespace {

constexpr int64_t kPassage = 160;  // tokens shown
constexpr size_t kPromptTokens = 8;
constexpr int64_t kCountedTokens = 8192, kCountedRows = 2048;  // read in all, and at once

// Windows `first` … of `length` tokens.
Batch windows_of(const Dataset& dataset, Split split, int64_t length, int64_t first,
                 int64_t count) {
  Batch batch{.sequences = count, .length = length};
  batch.input.resize(static_cast<size_t>(count * length));
  batch.target.resize(batch.input.size());
  batch.document.resize(batch.input.size());
  batch.sequence.resize(static_cast<size_t>(count));
  batch.valid.resize(static_cast<size_t>(count));
  for (int64_t row = 0; row < count; ++row) dataset.read(split, first + row, row, batch);
  return batch;
}

// Validation text, or that of training where there is none.
Split shown_split(const Dataset& dataset, int64_t length) {
  return dataset.windows(Split::validation, length) > 0 ? Split::validation : Split::train;
}

std::vector<int32_t> passage(const Dataset& dataset, int64_t length) {
  Batch batch = windows_of(dataset, shown_split(dataset, length), length, 0, 1);
  batch.input.resize(static_cast<size_t>(std::min<int64_t>(length, batch.valid[0])));
  return batch.input;
}

Json texts(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  Json all = Json::array();
  for (const int32_t id : ids) all.push_back(std::string(tokenizer.token_bytes(id)));
  return all;
}

Json routing_json(Model& model, const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                  int64_t step) {
  const torch::NoGradGuard no_grad;
  const auto length = static_cast<int64_t>(ids.size());
  Context ctx{
      .rows = uniform_rows(1, length, model.device()), .routing = Routing::inference, .step = step};
  const ModelOutput out = model.forward(torch::tensor(ids, torch::kInt32).to(model.device()), ctx);
  Json layers = Json::array();
  for (const LayerTrace& layer : trace_routes(out.routes, length)) {
    Json weight = Json::array(), decision = Json::array();
    for (const float w : layer.weight) weight.push_back(to_json_value(w));
    for (const float d : layer.decision) decision.push_back(to_json_value(d));
    layers.push_back({{"name", layer.name},
                      {"capacity", layer.capacity},
                      {"entered", layer.entered},
                      {"weight", weight},
                      {"decision", decision}});
    if (layer.experts == 0) continue;
    layers.back()["num_experts"] = layer.experts;
    layers.back()["top_k"] = layer.top_k;
    layers.back()["choice"] = layer.choice;
  }
  return {{"step", step},
          {"routing", "inference"},
          {"tokens", texts(tokenizer, ids)},
          {"layers", layers}};
}

// Of token choice, over some validation text.
struct Choices {
  int64_t tokens = 0;
  std::vector<std::pair<std::string, AffinityCounts>> affinity;  // by branch, rounds together
  ModuleCounts modules;
};

void count(const std::vector<LayerTrace>& layers, const std::vector<int32_t>& tokens,
           Choices& choices) {
  std::vector<RoundChoices> rounds;
  for (const LayerTrace& layer : layers) {
    if (layer.experts == 0) continue;
    const std::string name = round_name(layer.name).branch;
    auto counts = std::find_if(choices.affinity.begin(), choices.affinity.end(),
                               [&](const auto& one) { return one.first == name; });
    if (counts == choices.affinity.end())
      counts = choices.affinity.insert(counts, {name, AffinityCounts()});
    counts->second.add(tokens, layer);
    rounds.push_back({layer.name, static_cast<size_t>(layer.experts),
                      static_cast<size_t>(layer.top_k), layer.choice});
  }
  choices.modules.add(rounds);
}

Choices count_choices(Model& model, const Dataset& dataset, int64_t step) {
  const torch::NoGradGuard no_grad;
  const int64_t length = model.config().train.sequence_length;
  const Split split = shown_split(dataset, length);
  const int64_t most = std::max<int64_t>(1, kCountedTokens / length);
  const int64_t windows = std::min(most, dataset.windows(split, length));
  const int64_t at_once = std::max<int64_t>(1, kCountedRows / length);
  Choices choices{.tokens = windows * length, .affinity = {}, .modules = {}};
  for (int64_t first = 0; first < windows; first += at_once) {
    const Batch batch =
        windows_of(dataset, split, length, first, std::min(at_once, windows - first));
    const BatchTensors tensors =
        to_tensors(batch, model.device(), {.document_mask = model.config().train.document_mask});
    Context ctx{.rows = tensors.rows, .routing = Routing::inference, .step = step};
    const ModelOutput out = model.forward(tensors.input, ctx);
    count(trace_routes(out.routes, static_cast<int64_t>(batch.input.size())), batch.input, choices);
    if (choices.affinity.empty()) break;
  }
  return choices;
}

// Which tokens choose an expert.
Json affinity_json(const Choices& all, const Tokenizer& tokenizer) {
  const AffinityOptions options;
  Json json = {{"tokens", all.tokens}, {"least", options.least}, {"layers", Json::array()}};
  for (const auto& [name, counts] : all.affinity) {
    Json choices = Json::array();
    for (const ChoiceAffinity& one : counts.read(options)) {
      std::vector<int32_t> ids;
      Json lift = Json::array(), seen = Json::array();
      for (const TokenAffinity& token : one.tokens) {
        ids.push_back(token.token);
        lift.push_back(token.lift);
        seen.push_back(token.seen);
      }
      choices.push_back({{"share", one.share},
                         {"tokens", texts(tokenizer, ids)},
                         {"lift", lift},
                         {"seen", seen}});
    }
    json["layers"].push_back(
        {{"name", name}, {"num_experts", counts.experts()}, {"choices", choices}});
  }
  return json;
}

// What tokens choose round by round; null where no repeat applies token choice.
Json modules_json(const Choices& all) {
  Json branches;
  for (const ModuleRounds& one : all.modules.read()) {
    Json paths = Json::array();
    for (const ModulePath& path : one.paths)
      paths.push_back({{"share", path.share}, {"choice", path.choice}});
    branches.push_back({{"name", one.name},
                        {"num_experts", one.experts},
                        {"top_k", one.top_k},
                        {"rounds", one.rounds},
                        {"share", one.share},
                        {"next", one.next},
                        {"distinct_paths", one.distinct_paths},
                        {"paths", paths}});
  }
  if (branches.is_null()) return nullptr;
  return {{"tokens", all.tokens}, {"branches", branches}};
}

Json samples_json(Model& model, const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                  int64_t step) {
  const int64_t room =
      model.config().model.max_position_embeddings - static_cast<int64_t>(kPromptTokens);
  ContinueOptions how;
  how.generate.step = step;
  how.generate.max_new_tokens = std::clamp<int64_t>(room, 1, 100);
  how.generate.sampler.temperature = 0.8;
  std::vector<std::string> prompts;
  for (size_t begin = 0; begin + kPromptTokens <= ids.size() && prompts.size() < 3;
       begin += std::max(kPromptTokens, ids.size() / 3)) {
    const std::vector<int32_t> start(ids.begin() + static_cast<int64_t>(begin),
                                     ids.begin() + static_cast<int64_t>(begin + kPromptTokens));
    StreamDecoder decoder(tokenizer);  // whole characters only
    std::string text;
    for (const int32_t id : start) {
      if (!tokenizer.is_special(id)) text += decoder.push(id);
    }
    prompts.push_back(text);
  }
  Json samples = Json::array();
  for (const Continuation& one : continue_prompts(model, tokenizer, prompts, how)) {
    Json share = one.generation.depth;
    while (share.size() < one.all_tokens.size()) share.push_back(nullptr);  // drawn, but never run
    samples.push_back({{"prompt", one.prompt},
                       {"text", one.text},
                       {"temperature", how.generate.sampler.temperature},
                       {"seed", how.generate.seed + samples.size()},
                       {"tokens", texts(tokenizer, one.all_tokens)},
                       {"share", share}});
  }
  return {{"step", step}, {"samples", samples}};
}

}  // namespace

void write_showcase(const std::filesystem::path& run, Model& model, const Dataset& dataset,
                    int64_t step) {
  const Tokenizer tokenizer = Tokenizer::load(dataset.folder());
  const std::vector<int32_t> ids =
      passage(dataset, std::min<int64_t>(kPassage, model.config().train.sequence_length));
  const auto write = [&](const char* name, const Json& json) {
    write_file(run / name,
               json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  };
  Json routing = routing_json(model, tokenizer, ids, step);
  const Choices choices = count_choices(model, dataset, step);
  if (!choices.affinity.empty()) routing["affinity"] = affinity_json(choices, tokenizer);
  if (Json modules = modules_json(choices); !modules.is_null())
    routing["modules"] = std::move(modules);
  write("routing.json", routing);
  write("samples.json", samples_json(model, tokenizer, ids, step));
}

}  // namespace pointwork::app
