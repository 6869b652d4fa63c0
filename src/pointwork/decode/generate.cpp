#include "pointwork/decode/generate.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/nn/kv_cache.h"

namespace pointwork {
namespace {

struct Row {
  std::vector<int32_t> tokens;  // prompt and continuation
  size_t done = 0;              // of them, run
  bool finished = false;
  uint64_t seed = 0;
  double reached = 0, entered = 0;
};

// The next `count[b]` tokens of each row, as one ragged batch.
struct Piece {
  Tensor token;
  Rows rows;
};

Piece take(const std::vector<Row>& batch, const std::vector<int64_t>& count, torch::Device device) {
  const auto total = std::accumulate(count.begin(), count.end(), int64_t{0});
  const auto ints = torch::TensorOptions().dtype(torch::kInt32);
  Piece piece{torch::empty({total}, ints), {}};
  Tensor position = torch::empty({total}, ints), sequence = torch::empty({total}, ints);
  piece.rows.start = torch::zeros({static_cast<int64_t>(batch.size()) + 1}, ints);
  piece.rows.key = torch::empty({static_cast<int64_t>(batch.size())}, torch::kInt64);
  int64_t at = 0;
  for (size_t b = 0; b < batch.size(); ++b) {
    for (int64_t i = 0; i < count[b]; ++i, ++at) {
      const size_t index = batch[b].done + static_cast<size_t>(i);
      piece.token.data_ptr<int32_t>()[at] = batch[b].tokens[index];
      position.data_ptr<int32_t>()[at] = static_cast<int32_t>(index);
      sequence.data_ptr<int32_t>()[at] = static_cast<int32_t>(b);
    }
    piece.rows.start.data_ptr<int32_t>()[b + 1] = static_cast<int32_t>(at);
    piece.rows.key.data_ptr<int64_t>()[b] = static_cast<int64_t>(batch[b].seed);
  }
  piece.token = piece.token.to(device);
  piece.rows.position = position.to(device);
  piece.rows.sequence = sequence.to(device);
  piece.rows.root = torch::arange(total, ints).to(device);
  return piece;
}

class Session {
 public:
  Session(Model& model, const std::vector<std::vector<int32_t>>& prompts,
          const GenerateOptions& options)
      : model_(model), options_(options), result_(prompts.size()) {
    const ModelConfig& config = model.config().model;
    learned_ = config.position_embedding == PositionEmbedding::learned;
    context_ = config.max_position_embeddings;
    for (size_t b = 0; b < prompts.size(); ++b) {
      const std::vector<int32_t>& prompt = prompts[b];
      check(!prompt.empty(), "prompt ", b, " is empty: begin it with the end-of-text token");
      for (const int32_t id : prompt) {
        check(id >= 0 && id < config.vocab_size, "prompt ", b, " holds token id ", id,
              " but the vocabulary has ", config.vocab_size, " tokens");
      }
      check(!learned_ || static_cast<int64_t>(prompt.size()) <= context_, "prompt ", b, " has ",
            prompt.size(), " tokens but the model's learned positions end at ", context_);
      batch_.push_back(
          {.tokens = prompt, .seed = options.seeds.empty() ? options.seed + b : options.seeds[b]});
      const auto length = static_cast<int64_t>(prompt.size());
      const int64_t most = (learned_ ? context_ : std::numeric_limits<int64_t>::max()) - length;
      longest_ = std::max(longest_, length + std::min(options.max_new_tokens, most));
    }
  }

  std::vector<Generation> run() {
    cached_ = options_.cache && options_.routing == Routing::inference;
    KvCache cache(model_.sites(), static_cast<int64_t>(batch_.size()), longest_);
    while (true) {
      std::vector<int64_t> count(batch_.size(), 0);
      int64_t budget = options_.prefill_chunk;
      for (size_t b = 0; b < batch_.size(); ++b) {
        Row& row = batch_[b];
        if (row.finished) continue;
        if (!cached_) row.done = 0;
        const auto waiting = static_cast<int64_t>(row.tokens.size() - row.done);
        // A row always gets one token, so that a long prompt beside it does not hold it up for
        // good.
        count[b] = cached_ ? std::min(waiting, std::max<int64_t>(budget, 1)) : waiting;
        budget -= count[b];
      }
      if (std::accumulate(count.begin(), count.end(), int64_t{0}) == 0) break;
      if (options_.routing == Routing::training) {
        for (size_t b = 0; b < batch_.size(); ++b) {
          // Selection as in training needs sequences of one length: one row a pass.
          std::vector<int64_t> alone(batch_.size(), 0);
          alone[b] = count[b];
          if (count[b] > 0) pass(alone, nullptr);
        }
      } else {
        pass(count, cached_ ? &cache : nullptr);
      }
    }
    for (size_t b = 0; b < batch_.size(); ++b) {
      const Row& row = batch_[b];
      result_[b].routed_share = row.reached > 0 ? row.entered / row.reached : 1;
    }
    return std::move(result_);
  }

 private:
  void pass(const std::vector<int64_t>& count, KvCache* cache) {
    Piece piece = take(batch_, count, model_.device());
    Context ctx{.rows = piece.rows,
                .routing = options_.routing,
                .step = options_.step,
                .seed = static_cast<uint64_t>(model_.config().train.seed),
                .cache = cache};
    if (options_.routing == Routing::training) make_uniform(ctx.rows);
    ModelOutput out = model_.forward(piece.token, ctx);
    const int64_t total = piece.token.size(0);
    const std::vector<LayerTrace> layers = trace_routes(out.routes, total);
    const std::vector<double> depth = depth_shares(layers, total);

    std::vector<int64_t> last;
    std::vector<size_t> whose;
    const int32_t* start = piece.rows.start.data_ptr<int32_t>();
    for (size_t b = 0; b < batch_.size(); ++b) {
      if (count[b] == 0) continue;
      record(b, start[b], start[b + 1], layers, depth);
      batch_[b].done += static_cast<size_t>(count[b]);
      if (batch_[b].done == batch_[b].tokens.size()) {
        last.push_back(start[b + 1] - 1);
        whose.push_back(b);
      }
    }
    if (last.empty()) return;
    const Tensor index = torch::tensor(last).to(model_.device());
    const Tensor logits = model_.logits(out.hidden.index_select(0, index)).cpu().contiguous();
    for (size_t i = 0; i < whose.size(); ++i) {
      const float* row = logits.data_ptr<float>() + static_cast<int64_t>(i) * logits.size(1);
      advance(whose[i], {row, static_cast<size_t>(logits.size(1))});
    }
  }

  // One sequence as [1, S]; the others have no rows.
  static void make_uniform(Rows& rows) {
    const int64_t total = rows.count();
    rows.key = rows.key.index_select(0, rows.sequence.slice(0, 0, 1).cpu().to(torch::kInt64));
    rows.sequence = torch::zeros_like(rows.sequence);
    rows.start = torch::tensor({0, static_cast<int32_t>(total)}, torch::kInt32);
    rows.each = total;
  }

  void record(size_t b, int64_t begin, int64_t end, const std::vector<LayerTrace>& layers,
              const std::vector<double>& depth) {
    Row& row = batch_[b];
    if (!cached_) {
      row.reached = row.entered = 0;
      result_[b].depth.clear();
      result_[b].passes.clear();
    }
    std::vector<LayerTrace> own;
    for (const LayerTrace& layer : layers) {
      for (int64_t t = begin; t < end; ++t) {
        row.reached += layer.reached[static_cast<size_t>(t)];
        row.entered += layer.entered[static_cast<size_t>(t)];
      }
      if (!options_.trace) continue;
      const auto cut = [&](const auto& all) {
        return std::decay_t<decltype(all)>(all.begin() + begin, all.begin() + end);
      };
      own.push_back({.name = layer.name,
                     .capacity = layer.capacity,
                     .reached = cut(layer.reached),
                     .entered = cut(layer.entered),
                     .weight = cut(layer.weight),
                     .decision = cut(layer.decision),
                     .experts = layer.experts,
                     .top_k = layer.top_k,
                     .choice = {layer.choice.begin() + begin * layer.top_k,
                                layer.choice.begin() + end * layer.top_k}});
    }
    if (options_.trace) result_[b].passes.push_back(std::move(own));
    result_[b].depth.insert(result_[b].depth.end(), depth.begin() + begin, depth.begin() + end);
  }

  void advance(size_t b, std::span<const float> logits) {
    Row& row = batch_[b];
    Generation& out = result_[b];
    const auto finish = [&](Finish why) {
      row.finished = true;
      out.finish = why;
    };
    if (static_cast<int64_t>(out.tokens.size()) >= options_.max_new_tokens)
      return finish(Finish::length);
    const double uniform = random_uniform(stream_key(row.seed, "sample"), out.tokens.size());
    const auto known = static_cast<size_t>(options_.vocabulary);
    if (known > 0 && known < logits.size()) logits = logits.first(known);
    const int32_t token = sample_token(logits, row.tokens, options_.sampler, uniform);
    const std::vector<int32_t>& ends = options_.end_tokens;
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) return finish(Finish::end);
    out.tokens.push_back(token);
    row.tokens.push_back(token);
    if (options_.on_token && !options_.on_token(static_cast<int64_t>(b), token))
      return finish(Finish::stop);
    if (static_cast<int64_t>(out.tokens.size()) >= options_.max_new_tokens)
      return finish(Finish::length);
    if (learned_ && static_cast<int64_t>(row.tokens.size()) > context_)
      return finish(Finish::context);
  }

  Model& model_;
  const GenerateOptions& options_;
  std::vector<Generation> result_;
  std::vector<Row> batch_;
  bool learned_ = false, cached_ = true;
  int64_t context_ = 0, longest_ = 0;
};

}  // namespace

const char* name_of_finish(Finish finish) {
  switch (finish) {
    case Finish::length:
      return "length";
    case Finish::end:
      return "end";
    case Finish::stop:
      return "stop";
    case Finish::context:
      return "context";
  }
  return "?";
}

std::vector<Generation> generate(Model& model, const std::vector<std::vector<int32_t>>& prompts,
                                 const GenerateOptions& options) {
  validate(options.sampler);
  check(options.max_new_tokens >= 0, "max-new-tokens must be 0 or above but is ",
        options.max_new_tokens);
  check(options.prefill_chunk > 0, "the prefill chunk must be above 0 but is ",
        options.prefill_chunk);
  check(options.seeds.empty() || options.seeds.size() == prompts.size(),
        "there must be one seed a prompt: ", prompts.size(), ", but there are ",
        options.seeds.size());
  if (prompts.empty()) return {};
  const torch::NoGradGuard no_grad;
  return Session(model, prompts, options).run();
}

}  // namespace pointwork
