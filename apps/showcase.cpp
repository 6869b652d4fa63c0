#include "apps/showcase.h"

#include "apps/common.h"
#include "apps/continuation.h"
#include "pointwork/files/file.h"
#include "pointwork/route/trace.h"
#include "pointwork/train/objective.h"

namespace pointwork::app {
namespace {

constexpr int64_t kPassage = 160;  // tokens shown
constexpr size_t kPromptTokens = 8;

// The first validation window, or the first of training where there is none.
std::vector<int32_t> passage(const Dataset& dataset, int64_t length) {
  const Split split =
      dataset.windows(Split::validation, length) > 0 ? Split::validation : Split::train;
  Batch batch{.sequences = 1, .length = length};
  batch.input.resize(static_cast<size_t>(length));
  batch.target.resize(batch.input.size());
  batch.document.resize(batch.input.size());
  batch.sequence.resize(1);
  batch.valid.resize(1);
  dataset.read(split, 0, 0, batch);
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
  }
  return {{"step", step},
          {"routing", "inference"},
          {"tokens", texts(tokenizer, ids)},
          {"layers", layers}};
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
    samples.push_back({{"prompt", one.prompt},
                       {"text", one.text},
                       {"temperature", how.generate.sampler.temperature},
                       {"seed", how.generate.seed + samples.size()},
                       {"tokens", texts(tokenizer, one.all_tokens)},
                       {"share", one.generation.depth}});
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
  write("routing.json", routing_json(model, tokenizer, ids, step));
  write("samples.json", samples_json(model, tokenizer, ids, step));
}

}  // namespace pointwork::app
