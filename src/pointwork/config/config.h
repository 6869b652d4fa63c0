#pragma once
// A whole run: model, its branches, training. Read from TOML with overrides; the resolved form is
// pointwork.toml.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/config/model_config.h"
#include "pointwork/config/train_config.h"

namespace pointwork {

struct Config {
  ModelConfig model;
  std::map<std::string, BranchConfig> branch;
  TrainConfig train;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  GuardConfig guard;
  EvaluateConfig evaluate;
  CheckpointConfig checkpoint;
  DistillConfig distill;

  bool operator==(const Config&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("model", self.model, {.help = "the trunk: embedding, layers, final norm and head"});
    visit("branch", self.branch,
          {.help = "the grammar: a table [branch.NAME] for each name, with a kind"});
    visit("train", self.train, {.help = "budget and batches"});
    visit("optimizer", self.optimizer, {.help = "AdamW, with decoupled weight decay"});
    visit("schedule", self.schedule, {.help = "the learning rate's course"});
    visit("guard", self.guard, {.help = "what protects the weights from a bad step"});
    visit("evaluate", self.evaluate, {.help = "validation during training"});
    visit("checkpoint", self.checkpoint, {.help = "when the run is saved, and what is kept"});
    visit("distill", self.distill, {.help = "learning from a teacher beside the text"});
  }
};

// One `--section.key=value` of the command line, without its dashes.
struct Override {
  std::string key;    // "branch.mod.route.capacity"
  std::string value;  // as written: a TOML literal, or text without its quotes
};

// Every problem of a config, each with its full path; what() joins them in one line.
class ConfigError : public Error {
 public:
  ConfigError(const std::string& source_name, std::vector<std::string> all);
  std::vector<std::string> problems;
};

// Reads TOML text, applies overrides, validates. A later override of a key replaces an earlier one,
// a table or list given whole the file's; a budget (train.steps, tokens or flops) on the command
// line replaces the file's. Throws ConfigError with all problems, for an unknown key with the
// nearest right one; UsageError where the only problems are unknown keys in the overrides.
Config parse_config(const std::string& toml, const std::string& source_name,
                    const std::vector<Override>& overrides = {});
Config load_config(const std::filesystem::path& path, const std::vector<Override>& overrides = {});

// What load_config checks last: ranges that need more than one field (head counts, names of
// branches, cycles, a budget given twice …). Every problem, one string each, with its path.
std::vector<std::string> problems(const Config& config);

// What is allowed but probably not meant: a branch that nothing uses, a key that has no effect
// beside the others. One string each, with its path.
std::vector<std::string> remarks(const Config& config);

std::string to_toml(const Config& config);  // every key; parse_config gives the same Config back
std::string to_json(const Config& config);  // the same tree

// Paths of the keys whose values differ, "train.steps" and so on.
std::vector<std::string> changed_keys(const Config& a, const Config& b);

// A key of a config, told: what `config explain` and docs/config.md are made of.
struct KeyFacts {
  std::string path;           // "branch.mod.route.capacity"
  std::string type;           // "whole number", "true or false", "one of a, b", "list of names" …
  std::string unit, range;    // "tokens", "above 0 and at most 1"; "" where there is none
  std::string help;           // what it means
  std::string value;          // as TOML
  std::string default_value;  // as TOML; "" where it is required
  bool required = false;
};
std::vector<KeyFacts> all_keys(const Config& config);  // in the order of to_toml

// What a key, or every key of a section, means, and its value here; "": every key. Unknown: Error
// with the nearest.
std::string explain(const Config& config, const std::string& key);

// docs/config.md: every section and key as tables.
std::string config_reference();

// The layer names in order, length num_hidden_layers (model.layers expanded).
std::vector<std::string> layer_names(const ModelConfig& model);

// The same model with every route removed: what each comparison is measured against.
Config dense_twin(const Config& config);

}  // namespace pointwork
