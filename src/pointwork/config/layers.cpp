#include <algorithm>
#include <cmath>

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

const MlpConfig* routed_mlp(const Config& config, const RoutedConfig& routed) {
  const auto found = config.branch.find(routed.of);
  return found == config.branch.end() ? nullptr : std::get_if<MlpConfig>(&found->second.form);
}

bool norm_outside(const Config& config, const RoutedConfig& routed) {
  if (routed.norm != RoutedNorm::automatic) return routed.norm == RoutedNorm::outside;
  return (routed.route.by_token() || routed.route.num_experts > 1) && routed_mlp(config, routed);
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

// Takes the routes out of a config, branch by branch.
class Unrouter {
 public:
  explicit Unrouter(const Config& config) : config_(config), twin_(config) {}

  Config run() {
    replace(twin_.model.layers.first);
    replace(twin_.model.layers.repeat);
    replace(twin_.model.layers.last);
    for (const auto& [name, branch] : config_.branch) {
      BranchConfig copy = branch;
      std::visit(
          [&](auto& form) {
            if constexpr (requires { form.of; }) replace(form.of);
            if constexpr (requires { form.projection_route; }) form.projection_route.reset();
          },
          copy.form);
      twin_.branch[name] = std::move(copy);
    }
    std::erase_if(twin_.branch, [](const auto& item) {
      return std::holds_alternative<RoutedConfig>(item.second.form);
    });
    return std::move(twin_);
  }

 private:
  void replace(std::vector<std::string>& names) {
    for (std::string& name : names) replace(name);
  }

  // By what stands in a routed branch's place once its route is gone.
  void replace(std::string& name) {
    int64_t width = 1;
    for (auto found = config_.branch.find(name); found != config_.branch.end();
         found = config_.branch.find(name)) {
      const auto* routed = std::get_if<RoutedConfig>(&found->second.form);
      if (!routed) break;
      const RouteConfig& route = routed->route;
      width *= experts_of_a_token(route);
      name = routed->of;
    }
    if (width > 1) name = widened(name, width);
  }

  // Of expert choice to the nearest whole, as E experts that take a share c each are c · E of them.
  static int64_t experts_of_a_token(const RouteConfig& route) {
    if (route.by_token()) return std::min(route.top_k, route.num_experts);
    return std::max<int64_t>(1,
                             std::llround(route.capacity * static_cast<double>(route.num_experts)));
  }

  // k chosen experts are one mlp of k times the width.
  std::string widened(const std::string& name, int64_t times) {
    MlpConfig mlp = std::get<MlpConfig>(config_.branch.at(name).form);
    const int64_t one =
        mlp.intermediate_size > 0 ? mlp.intermediate_size : 4 * config_.model.hidden_size;
    mlp.intermediate_size = times * one;
    std::string unique = concat(name, "_x", times);
    while (config_.branch.count(unique)) unique += "_";
    twin_.branch[unique].form = mlp;
    return unique;
  }

  const Config& config_;
  Config twin_;
};

}  // namespace

Config dense_twin(const Config& config) { return Unrouter(config).run(); }

}  // namespace pointwork
