#include "pointwork/model/rewrite.h"

#include "pointwork/base/check.h"
#include "pointwork/config/grammar.h"

namespace pointwork {
namespace {

// The name of a branch in or under `name` that routes; "": there is none.
std::string routed_in(const Config& config, const std::string& name) {
  const BranchConfig& branch = config.branch.at(name);
  const auto* attention = std::get_if<AttentionConfig>(&branch.form);
  if (std::holds_alternative<RoutedConfig>(branch.form) ||
      (attention && attention->projection_route))
    return name;
  for (const std::string& child : children_of(branch)) {
    if (const std::string found = routed_in(config, child); !found.empty()) return found;
  }
  return "";
}

}  // namespace

std::vector<int64_t> chosen_layers(const ModelConfig& model, const LayerPeriod& period) {
  check(period.every >= 1 && period.offset >= 0 && period.offset < period.every,
        "[convert] offset must be at least 0 and below every = ", period.every, " but is ",
        period.offset);
  std::vector<int64_t> layers;
  for (int64_t i = period.offset; i < model.num_hidden_layers; i += period.every)
    layers.push_back(i);
  check(!layers.empty(), "no layer is chosen: the model has ", model.num_hidden_layers,
        ", and the first would be layer ", period.offset);
  return layers;
}

std::string unused_name(const Config& config, std::string name) {
  while (config.branch.count(name)) name += "_";
  return name;
}

void check_dense(const Config& config, const std::string& done) {
  for (const std::string& name : layer_names(config.model)) {
    const std::string routed = routed_in(config, name);
    check(routed.empty(), "branch.", routed, " is routed already: only a dense model can be ",
          done);
  }
}

void set_layers(ModelConfig& model, const std::vector<std::string>& names) {
  for (size_t period = 1;; ++period) {
    size_t i = period;
    while (i < names.size() && names[i] == names[i - period]) ++i;
    if (i < names.size()) continue;
    model.layers = {};
    model.layers.repeat.assign(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(period));
    return;
  }
}

}  // namespace pointwork
