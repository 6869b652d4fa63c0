#include "pointwork/config/config.h"
#include "pointwork/config/grammar.h"

namespace pointwork {

std::vector<std::string> children_of(const BranchConfig& branch) {
  return std::visit(
      [](const auto& form) -> std::vector<std::string> {
        if constexpr (requires { form.of; }) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(form.of)>, std::string>)
            return form.of;
          else if (!form.of.empty())
            return {form.of};
        }
        return {};
      },
      branch.form);
}

std::vector<std::string> layer_names(const ModelConfig& model) {
  const LayersConfig& layers = model.layers;
  std::vector<std::string> names = layers.first;
  const size_t total = static_cast<size_t>(model.num_hidden_layers);
  check(layers.first.size() + layers.last.size() <= total,
        "model.layers: first and last name more layers than model.num_hidden_layers = ", total);
  const size_t between = total - layers.first.size() - layers.last.size();
  check(between == 0 || !layers.repeat.empty(), "model.layers names nothing to repeat");
  for (size_t i = 0; i < between; ++i) names.push_back(layers.repeat[i % layers.repeat.size()]);
  names.insert(names.end(), layers.last.begin(), layers.last.end());
  return names;
}

namespace {

// What stands in a routed branch's place once its route is gone.
std::string unrouted(const Config& config, std::string name) {
  for (auto found = config.branch.find(name); found != config.branch.end();
       found = config.branch.find(name)) {
    const auto* routed = std::get_if<RoutedConfig>(&found->second.form);
    if (!routed) break;
    name = routed->of;
  }
  return name;
}

}  // namespace

Config dense_twin(const Config& config) {
  Config twin = config;
  const auto replace = [&](auto& names) {
    if constexpr (std::is_same_v<std::decay_t<decltype(names)>, std::string>)
      names = unrouted(config, names);
    else
      for (std::string& name : names) name = unrouted(config, name);
  };
  replace(twin.model.layers.first);
  replace(twin.model.layers.repeat);
  replace(twin.model.layers.last);
  for (auto& [name, branch] : twin.branch) {
    std::visit(
        [&](auto& form) {
          if constexpr (requires { form.of; }) replace(form.of);
        },
        branch.form);
  }
  std::erase_if(twin.branch, [](const auto& item) {
    return std::holds_alternative<RoutedConfig>(item.second.form);
  });
  return twin;
}

}  // namespace pointwork
