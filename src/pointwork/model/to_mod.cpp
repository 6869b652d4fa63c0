#include "pointwork/model/to_mod.h"

#include <map>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

RouteConfig route_of(const ToModOptions& options) {
  RouteConfig route;
  route.capacity = options.capacity;
  if (options.steps > 0) route.capacity_schedule = {.start = 1, .steps = options.steps};
  route.weight = RouterWeight::tanh;
  return route;
}

// "layers.1.body.mlp.up" → "layers.1.mlp.up"; "" for a router's.
std::string source_of(const std::string& name, const std::vector<int64_t>& layers) {
  for (const int64_t layer : layers) {
    const std::string before = concat("layers.", layer, ".");
    if (!name.starts_with(before)) continue;
    const std::string rest = name.substr(before.size());
    return rest.starts_with("body.") ? before + rest.substr(5) : "";
  }
  return name;
}

}  // namespace

Config to_mod(const Config& dense, const ToModOptions& options) {
  check(options.capacity > 0 && options.capacity <= 1,
        "[to_mod] capacity must be above 0 and at most 1 but is ", options.capacity);
  check_dense(dense, "made a Mixture-of-Depths");
  Config made = dense;
  std::vector<std::string> names = layer_names(dense.model);
  std::map<std::string, std::string> routed;  // by the block's name
  for (const int64_t layer : chosen_layers(dense.model, options.layers)) {
    std::string& name = names[static_cast<size_t>(layer)];
    std::string& own = routed[name];
    if (own.empty()) {
      own = unused_name(made, "mod");
      made.branch[own].form = RoutedConfig{.of = name, .route = route_of(options)};
    }
    name = own;
  }
  set_layers(made.model, names);
  made.distill = {};
  return parse_config(to_toml(made), "converted");  // ranges too
}

std::shared_ptr<Model> to_mod(const Model& dense, const ToModOptions& options) {
  const torch::NoGradGuard no_grad;
  const auto made = std::make_shared<Model>(to_mod(dense.config(), options));
  initialise(*made, options.seed);
  convert(*made, dense.dtype(), dense.device());
  const std::vector<int64_t> layers = chosen_layers(dense.config().model, options.layers);
  const auto weights = dense.named_parameters();
  for (auto& item : made->named_parameters()) {
    if (item.key().ends_with(".router.weight") || item.key().ends_with(".router.predictor.output"))
      item.value().zero_();
    const std::string source = source_of(item.key(), layers);
    if (source.empty()) continue;
    const Tensor* from = weights.find(source);
    check(from != nullptr, "[to_mod] the dense model has no parameter ", source);
    item.value().copy_(*from);
  }
  return made;
}

}  // namespace pointwork
