#pragma once
// What a run folder holds for its page, read and checked: run.json, metrics.jsonl, routing.json,
// samples.json, bench.json, pointwork.toml. Numbers that a file does not give, or gives as null,
// are NaN.

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pointwork/base/module_rounds.h"

namespace pointwork {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// Of a layer of token choice.
struct ExpertMetrics {
  std::vector<double> load;  // experts, then no-ops: choices before drops, as a ratio to the fair
                             // share of experts
  size_t num_experts = 0;
  double load_entropy = kUnknown, entropy = kUnknown, confidence = kUnknown;
  double dropped_share = kUnknown, noop_share = kUnknown;
};

struct LayerMetrics {
  std::string name;
  double capacity = kUnknown, routed_share = kUnknown;
  double router_mean = kUnknown, router_std = kUnknown;
  double agreement = kUnknown, precision = kUnknown, recall = kUnknown;
  std::optional<ExpertMetrics> experts;
};

// A line of metrics.jsonl.
struct StepMetrics {
  double step = 0;
  double loss = kUnknown, tokens = kUnknown, flops = kUnknown, seconds = kUnknown;
  double tokens_per_second = kUnknown, mfu = kUnknown, peak_memory_bytes = kUnknown;
  bool skipped = false;  // the guard kept this update out
  double validation_loss = kUnknown, validation_loss_training = kUnknown, bits_per_byte = kUnknown;
  double routed_share = kUnknown, agreement = kUnknown, precision = kUnknown, recall = kUnknown;
  std::vector<LayerMetrics> layers;  // empty but at evaluations of a routed model
  std::vector<std::string> alarms;   // of experts' loads
};

struct PhaseCosts {
  double forward = kUnknown, train = kUnknown, decode = kUnknown;  // FLOPs a token
};

struct RunFacts {
  double parameters = kUnknown, active_parameters = kUnknown;
  PhaseCosts flops, dense_flops;
  double total_steps = kUnknown, tokens_per_step = kUnknown, threads = kUnknown;
  std::string device, precision;
  std::string dataset;  // its name
  double dataset_tokens = kUnknown, documents = kUnknown, vocab_size = kUnknown;
  nlohmann::ordered_json config;
};

struct PassageLayer {
  std::string name;
  double capacity = kUnknown;
  std::vector<bool> entered;     // per token
  std::vector<double> weight;    // router weight
  std::vector<double> decision;  // score of the causal decision
  // Of token choice, else 0 and empty: choices a token, from num_experts on no-ops, below 0 none.
  size_t num_experts = 0, top_k = 0;
  std::vector<double> choice;  // top_k per token
};

struct Passage {
  double step = kUnknown;
  std::string routing;
  std::vector<std::string> tokens;
  std::vector<PassageLayer> layers;
};

// Tokens that an expert, or a no-op, is chosen by more often than others.
struct ExpertTokens {
  double share = kUnknown;  // of all choices
  std::vector<std::string> tokens;
  std::vector<double> lift;  // P(expert | token) / P(expert), per token
  std::vector<double> seen;  // times in the text
};

struct LayerAffinity {
  std::string name;
  size_t num_experts = 0;
  std::vector<ExpertTokens> choices;  // experts, then no-ops
};

struct Affinity {
  double tokens = kUnknown;  // of the text it was counted on
  double least = kUnknown;   // times a token must stand in it
  std::vector<LayerAffinity> layers;
};

// What tokens chose in each round of a repeat.
struct Modules {
  double tokens = kUnknown;  // of the text it was counted on
  std::vector<ModuleRounds> branches;
};

struct SampleText {
  std::string prompt, text;
  double temperature = kUnknown, seed = kUnknown;
  std::vector<std::string> tokens;  // empty, or one per share
  std::vector<double> share;        // of routed blocks that the token entered
};

struct BenchResult {
  std::string name, against, device;
  double seconds = kUnknown, against_seconds = kUnknown, tokens_per_second = kUnknown;
  double measured_saving = kUnknown, ideal_saving = kUnknown, realised_saving = kUnknown;
  double threads = kUnknown;
};

struct RunFolder {
  std::filesystem::path path;  // as given
  std::string name;
  std::optional<RunFacts> facts;
  std::vector<StepMetrics> metrics;  // steps ascend
  std::optional<Passage> passage;
  Affinity affinity;
  Modules modules;  // of an older routing.json, counted on its passage
  double samples_step = kUnknown;
  std::vector<SampleText> samples;
  std::vector<BenchResult> bench;
  std::string toml;  // pointwork.toml, "" where there is none

  // The newest line that holds an evaluation; null where there is none.
  const StepMetrics* last_evaluation() const;
  bool routed() const;                              // has routed blocks, as far as its files tell
  bool has_experts() const;                         // has layers of token choice
  bool in_rounds(const std::string& branch) const;  // stands in `modules`
};

// Error naming file and field unless every file that is there reads well. The last line of
// metrics.jsonl may be torn. Where a resumed run took steps again, the later ones count.
RunFolder read_run_folder(const std::filesystem::path& path);

}  // namespace pointwork
