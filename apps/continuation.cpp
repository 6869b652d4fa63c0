#include "apps/continuation.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/data/utf8.h"

namespace pointwork::app {
namespace {

// Text of one row as it grows; holds back what may become a stop string.
class Writer {
 public:
  Writer(const Tokenizer& tokenizer, const std::vector<std::string>& stops, bool at_start)
      : decoder_(tokenizer, at_start), stops_(&stops) {}

  std::string push(int32_t id) { return take(decoder_.push(id), false); }
  std::string finish() { return stopped_ ? "" : take(decoder_.finish(), true); }
  bool stopped() const { return stopped_; }

 private:
  std::string take(const std::string& more, bool last) {
    held_ += more;
    size_t end = std::string::npos;
    for (const std::string& stop : *stops_) end = std::min(end, held_.find(stop));
    if (end != std::string::npos) {
      stopped_ = true;
      return held_.substr(0, end);
    }
    size_t keep = 0;
    for (const std::string& stop : *stops_) {
      for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep && !last; --n) {
        if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
      }
    }
    const std::string certain = held_.substr(0, held_.size() - keep);
    held_.erase(0, certain.size());
    return certain;
  }

  StreamDecoder decoder_;
  const std::vector<std::string>* stops_;
  std::string held_;
  bool stopped_ = false;
};

std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, const ModelConfig& model,
                                   const std::string& prompt, const std::string& name,
                                   bool bounds) {
  const size_t bad = first_invalid(prompt);
  check(bad == prompt.size(), name,
        " must be UTF-8 text without NUL, found another byte at offset ", bad);
  std::vector<int32_t> ids;
  if (bounds) ids = tokenizer.ids_before();
  tokenizer.encode_to(prompt, ids);
  if (ids.empty()) ids.push_back(tokenizer.end_of_text());
  const auto length = static_cast<int64_t>(ids.size());
  check(model.position_embedding != PositionEmbedding::learned ||
            length <= model.max_position_embeddings,
        name, " has ", length, " tokens, but the model's learned positions end at ",
        model.max_position_embeddings);
  return ids;
}

}  // namespace

std::vector<Continuation> continue_prompts(Model& model, const Tokenizer& tokenizer,
                                           const std::vector<std::string>& prompts,
                                           const ContinueOptions& options) {
  for (const std::string& stop : options.stop)
    check(!stop.empty(), "a stop text must not be empty");
  std::vector<std::vector<int32_t>> ids;
  std::vector<Writer> writers;
  std::vector<Continuation> all(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    ids.push_back(encode_prompt(tokenizer, model.config().model, prompts[i],
                                prompts.size() > 1 ? concat("prompt ", i + 1) : "the prompt",
                                options.bounds));
    writers.emplace_back(tokenizer, options.stop, prompts[i].empty());
    all[i].prompt = prompts[i];
  }
  const auto emit = [&](size_t row, const std::string& text) {
    all[row].text += text;
    if (options.on_text && !text.empty()) options.on_text(row, text);
  };
  GenerateOptions generate = options.generate;
  generate.vocabulary = tokenizer.vocab_size();
  if (const auto end = tokenizer.find_end_of_text(); end && generate.end_tokens.empty())
    generate.end_tokens = {*end};
  generate.on_token = [&](int64_t row, int32_t token) {
    const auto r = static_cast<size_t>(row);
    emit(r, writers[r].push(token));
    return !writers[r].stopped();
  };
  std::vector<Generation> done = pointwork::generate(model, ids, generate);
  for (size_t i = 0; i < done.size(); ++i) {
    emit(i, writers[i].finish());
    if (writers[i].stopped()) done[i].finish = Finish::stop;
    all[i].finish_reason = name_of_finish(done[i].finish);
    all[i].all_tokens = ids[i];
    all[i].all_tokens.insert(all[i].all_tokens.end(), done[i].tokens.begin(), done[i].tokens.end());
    all[i].past_trained_length = static_cast<int64_t>(all[i].all_tokens.size()) >
                                 model.config().model.max_position_embeddings;
    all[i].generation = std::move(done[i]);
  }
  return all;
}

}  // namespace pointwork::app
