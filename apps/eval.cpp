// eval: loss on a data set under either routing.

#include <algorithm>
#include <cstdio>

#include "apps/common.h"
#include "pointwork/base/check.h"
#include "pointwork/log/progress.h"
#include "pointwork/train/step_record.h"

namespace pointwork::app {
namespace {

struct Options {
  std::string path, data, routing = "inference", split = "validation";
  int64_t sequences = 0, length = 0, batch = 8;
};

Evaluation measure(const Loaded& loaded, const Dataset& dataset, const Options& options,
                   const Common& common, Routing routing) {
  const Config& config = loaded.checkpoint.config;
  std::optional<Progress> progress;
  const int64_t length = options.length > 0 ? options.length : config.train.sequence_length;
  EvaluateOptions how{
      .split = options.split == "train" ? Split::train : Split::validation,
      .routing = routing,
      .sequences = options.sequences,
      .length = length,
      .batch = options.batch,
      .document_mask = config.train.document_mask,
      .step = loaded.checkpoint.step,
      .seed = static_cast<uint64_t>(common.seed >= 0 ? common.seed : config.train.seed)};
  if (!common.quiet) {
    how.progress = [&](int64_t done, int64_t total) {
      if (!progress)
        progress.emplace(routing == Routing::training ? "training routing" : "inference routing",
                         total, "sequences");
      progress->update(done);
    };
  }
  const Evaluation result = evaluate(*loaded.model, dataset, how);
  if (progress) progress->finish();
  return result;
}

// `taken`: of the pass that was asked for; the decision is judged in `training`.
Json layers_json(const std::vector<RouteStats>& training, const std::vector<RouteStats>& taken) {
  Json all = Json::array();
  for (const RouteStats& layer : training) {
    all.push_back({{"layer", layer.name},
                   {"capacity", layer.selected_share},
                   {"routed_share", selected_share_of(taken, layer.name)},
                   {"router_mean", layer.router_mean},
                   {"router_std", layer.router_std},
                   {"agreement", layer.accuracy},
                   {"precision", layer.precision},
                   {"recall", layer.recall}});
    if (layer.experts) all.back()["experts"] = experts_json(*layer.experts);
  }
  return all;
}

// Of decisions that follow another choice in training; a token's own choice is its decision.
void print_decisions(const Evaluation& training) {
  std::printf(
      "causal decision against top-k: agreement %.2f %%   precision %.2f %%   recall %.2f %%\n\n",
      100 * training.decision.accuracy, 100 * training.decision.precision,
      100 * training.decision.recall);
  std::printf("%-24s %9s %9s %12s %10s %10s %8s\n", "layer", "selected", "mean r", "spread of r",
              "agreement", "precision", "recall");
  for (const RouteStats& l : training.layers) {
    if (l.experts) continue;
    std::printf("%-24s %7.2f %% %9.3f %12.3f %8.2f %% %8.2f %% %6.2f %%\n", l.name.c_str(),
                100 * l.selected_share, l.router_mean, l.router_std, 100 * l.accuracy,
                100 * l.precision, 100 * l.recall);
  }
}

void print_experts(const std::vector<RouteStats>& layers) {
  std::printf("\n%-24s %8s %8s %6s %9s %9s %11s %8s\n", "layer", "experts", "busiest", "dead",
              "dropped", "no-ops", "confidence", "entropy");
  for (const RouteStats& l : layers) {
    if (!l.experts) continue;
    const ExpertStats& e = *l.experts;
    std::printf("%-24s %8lld %6.2f x %6lld %7.2f %% %7.2f %% %9.2f %% %8.3f\n", l.name.c_str(),
                static_cast<long long>(e.num_experts), e.max_load, static_cast<long long>(e.dead),
                100 * e.dropped_share, 100 * e.noop_share, 100 * e.confidence, e.entropy);
  }
}

int run(const Options& options, const Common& common) {
  const Loaded loaded = load(options.path, common, false);
  const Dataset dataset(options.data);
  check(dataset.tokenizer_hash() == loaded.checkpoint.tokenizer_hash, "data set ", options.data,
        " was made with another tokenizer than checkpoint ", loaded.checkpoint.folder.string(),
        " was trained with");
  const ModelConfig& model = loaded.checkpoint.config.model;
  check(model.position_embedding != PositionEmbedding::learned ||
            options.length <= model.max_position_embeddings,
        "--length ", options.length, " is more than the ", model.max_position_embeddings,
        " learned positions of the model");
  // The causal decision is judged against the choice as in training, so that pass is made in any
  // case.
  const Evaluation training = measure(loaded, dataset, options, common, Routing::training);
  const bool causal = options.routing == "inference" && !training.layers.empty();
  const Evaluation result =
      causal ? measure(loaded, dataset, options, common, Routing::inference) : training;

  if (common.json) {
    print_json({{"loss", to_json_value(result.loss)},
                {"perplexity", to_json_value(result.perplexity)},
                {"bits_per_byte", to_json_value(result.bits_per_byte)},
                {"tokens", result.tokens},
                {"routing", options.routing},
                {"routed_share", result.routed_share},
                {"loss_training", to_json_value(training.loss)},
                {"routed_share_training", training.routed_share},
                {"agreement", training.layers.empty() ? 1.0 : training.decision.accuracy},
                {"precision", training.layers.empty() ? 1.0 : training.decision.precision},
                {"recall", training.layers.empty() ? 1.0 : training.decision.recall},
                {"step", loaded.checkpoint.step},
                {"layers", layers_json(training.layers, result.layers)}});
    return 0;
  }
  std::printf("%s, step %lld, %lld tokens of the %s split, %s routing\n",
              loaded.checkpoint.folder.string().c_str(),
              static_cast<long long>(loaded.checkpoint.step), static_cast<long long>(result.tokens),
              options.split.c_str(), options.routing.c_str());
  std::printf("loss %.4f   perplexity %.2f   bits a byte %.4f\n", result.loss, result.perplexity,
              result.bits_per_byte);
  if (training.layers.empty()) return 0;
  std::printf("routed %.2f %%   loss under training routing %.4f (routed %.2f %%)\n",
              100 * result.routed_share, training.loss, 100 * training.routed_share);
  const auto experts = std::count_if(training.layers.begin(), training.layers.end(),
                                     [](const RouteStats& l) { return l.experts.has_value(); });
  if (experts < static_cast<int64_t>(training.layers.size())) print_decisions(training);
  if (experts > 0) print_experts(training.layers);
  return 0;
}

}  // namespace

Run add_eval(CLI::App& command, Common& common) {
  const auto o = std::make_shared<Options>();
  command
      .add_option("CHECKPOINT_OR_RUN", o->path,
                  "a checkpoint, a run (its newest valid checkpoint), or a Hugging Face folder")
      ->required();
  command
      .add_option("--data", o->data,
                  "a data set made by `pointwork prepare` with the same tokenizer")
      ->type_name("DIR")
      ->required();
  add_routing(command, o->routing);
  command.add_option("--split", o->split, "which part of the data set to read")
      ->type_name("validation|train")
      ->check(one_of({"validation", "train"}))
      ->capture_default_str();
  command.add_option("--sequences", o->sequences, "sequences read, from the first; 0: all")
      ->type_name("N")
      ->check(whole_number(0))
      ->capture_default_str();
  command.add_option("--length", o->length, "tokens a sequence (default: that of training)")
      ->type_name("N")
      ->check(whole_number(1, 1 << 24));
  command.add_option("--batch", o->batch, "sequences a batch")
      ->type_name("N")
      ->check(whole_number(1, 1 << 16))
      ->capture_default_str();
  command.footer(
      "Examples:\n"
      "  pointwork eval quickstart/bible/mod --data quickstart/bible/data\n"
      "  pointwork eval quickstart/bible/mod --data quickstart/bible/data --routing training "
      "--json");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
