#include "pointwork/base/nearest.h"
#include "pointwork/config/config.h"
#include "pointwork/config/walk.h"

namespace pointwork {
namespace {

std::string told(const KeyFacts& key) {
  std::string text = key.path + " = " + key.value + "\n    " + key.help + "\n    " + key.type;
  if (!key.unit.empty()) text += ", in " + key.unit;
  if (!key.range.empty()) text += ", " + key.range;
  return text + "\n";
}

std::string cell(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '|' ? std::string("\\|") : std::string(1, c);
  return safe;
}

// One struct's keys as a table; nested tables stand in it with their dotted names.
template <HasFields T>
std::string table_of(const std::string& title, const std::string& about) {
  std::string text = "## " + title + "\n\n" + about +
                     "\n\n| key | type | default | meaning |\n|---|---|---|---|\n";
  for (const KeyFacts& key : keys_of(T{})) {
    const std::string type = key.unit.empty() ? key.type : key.type + ", " + key.unit;
    const std::string meaning = key.range.empty() ? key.help : key.help + " (" + key.range + ")";
    text += "| `" + key.path + "` | " + cell(type) + " | `" + cell(key.value) + "` | " +
            cell(meaning) + " |\n";
  }
  return text + "\n";
}

}  // namespace

std::string explain(const Config& config, const std::string& key) {
  std::string text;
  std::vector<std::string> names;
  for (const KeyFacts& facts : all_keys(config)) {
    if (key.empty() || facts.path == key || facts.path.rfind(key + ".", 0) == 0)
      text += told(facts);
    names.push_back(facts.path);
    for (size_t dot = facts.path.find('.'); dot != std::string::npos;
         dot = facts.path.find('.', dot + 1)) {
      names.push_back(facts.path.substr(0, dot));
    }
  }
  check(!text.empty(), key, ": no such key", did_you_mean(key, names));
  return text;
}

std::string config_reference() {
  std::string text =
      "# Every key of a config\n\n"
      "Written by `pointwork config reference`. A config is TOML; on the command line a key is "
      "`--section.key=value`.\n\n";
  text += table_of<ModelConfig>("[model]", "The trunk.");
  text += table_of<AttentionConfig>("[branch.NAME] kind = \"attention\"",
                                    "Multi-head or grouped-query attention behind a norm.");
  text +=
      table_of<MlpConfig>("[branch.NAME] kind = \"mlp\"", "A feed-forward network behind a norm.");
  text += table_of<ChainConfig>("[branch.NAME] kind = \"chain\"",
                                "Each child sees x + the sum of what came before it.");
  text += table_of<ParallelConfig>("[branch.NAME] kind = \"parallel\"", "Every child sees x.");
  text +=
      table_of<RepeatConfig>("[branch.NAME] kind = \"repeat\"", "Rounds that share their weights.");
  text += table_of<RoutedConfig>("[branch.NAME] kind = \"routed\"",
                                 "A branch that only chosen tokens enter.");
  text += table_of<TrainConfig>("[train]", "Budget and batches.");
  text += table_of<OptimizerConfig>("[optimizer]", "AdamW.");
  text += table_of<ScheduleConfig>("[schedule]", "The learning rate's course.");
  text += table_of<GuardConfig>("[guard]", "What protects the weights from a bad step.");
  text += table_of<EvaluateConfig>("[evaluate]", "Validation during training.");
  text += table_of<CheckpointConfig>("[checkpoint]", "What is kept.");
  return text;
}

}  // namespace pointwork
