#include "pointwork/model/upcycle.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/config/grammar.h"

namespace pointwork {
namespace {

// Of a layer that is converted.
struct Place {
  std::string mlp, experts;  // names of the branch before and after
};

RouteConfig route_of(const UpcycleOptions& options) {
  RouteConfig route;
  route.choice = ChoiceKind::token;
  route.num_experts = options.experts;
  route.top_k = options.top_k;
  route.weight = options.top_k == 1 ? RouterWeight::ste : RouterWeight::renormalised;
  route.dropless = options.capacity_factor == 0;
  if (!route.dropless) route.capacity_factor = options.capacity_factor;
  return route;
}

// The one child that is an mlp.
std::string mlp_of(const Config& config, int64_t layer, const std::string& name) {
  const BranchConfig& branch = config.branch.at(name);
  const std::string what = concat("layer ", layer, " is '", name, "', ");
  const auto* chain = std::get_if<ChainConfig>(&branch.form);
  check(chain != nullptr, what, "of kind \"", branch.kind(),
        "\": only a chain with an mlp in it can have the mlp made experts");
  std::string found, all;
  int64_t count = 0;
  for (const std::string& child : chain->of) {
    const BranchConfig& one = config.branch.at(child);
    all += concat(all.empty() ? "" : ", ", "'", child, "' of kind \"", one.kind(), "\"");
    if (!std::holds_alternative<MlpConfig>(one.form)) continue;
    found = child;
    ++count;
  }
  check(count == 1, what, "a chain that must have one mlp in it but has ", count, ": ", all);
  return found;
}

// Takes the chosen layers' chains apart, each distinct one once.
class Upcycler {
 public:
  Upcycler(const Config& dense, const UpcycleOptions& options)
      : dense_(dense), options_(options), sparse_(dense) {}

  Config config() {
    std::vector<std::string> names = layer_names(dense_.model);
    check_dense(dense_, "upcycled");
    for (const int64_t layer : chosen_layers(dense_.model, options_.layers)) {
      std::string& name = names[static_cast<size_t>(layer)];
      const std::string mlp = mlp_of(dense_, layer, name);
      places_[layer] = {mlp, experts_of(mlp)};
      name = chain_of(name, places_[layer]);
    }
    set_layers(sparse_.model, names);
    drop_unused(names);
    sparse_.distill = {};
    return parse_config(to_toml(sparse_), "upcycled");  // ranges too
  }

  const std::map<int64_t, Place>& places() const { return places_; }

 private:
  const std::string& experts_of(const std::string& mlp) {
    std::string& name = experts_[mlp];
    if (!name.empty()) return name;
    name = unused_name(sparse_, "experts");
    sparse_.branch[name].form =
        RoutedConfig{.of = mlp, .norm = RoutedNorm::outside, .route = route_of(options_)};
    return name;
  }

  const std::string& chain_of(const std::string& layer, const Place& place) {
    std::string& name = chains_[layer];
    if (!name.empty()) return name;
    ChainConfig chain = std::get<ChainConfig>(dense_.branch.at(layer).form);
    std::replace(chain.of.begin(), chain.of.end(), place.mlp, place.experts);
    name = unused_name(sparse_, "moe");
    sparse_.branch[name].form = chain;
    return name;
  }

  // Layers that no longer stand anywhere.
  void drop_unused(const std::vector<std::string>& names) {
    for (const auto& [layer, chain] : chains_) {
      const bool used = std::find(names.begin(), names.end(), layer) != names.end() ||
                        std::any_of(sparse_.branch.begin(), sparse_.branch.end(),
                                    [&, name = layer](const auto& item) {
                                      const auto of = children_of(item.second);
                                      return std::find(of.begin(), of.end(), name) != of.end();
                                    });
      if (!used) sparse_.branch.erase(layer);
    }
  }

  const Config& dense_;
  const UpcycleOptions& options_;
  Config sparse_;
  std::map<int64_t, Place> places_;
  std::map<std::string, std::string> experts_, chains_;  // by the name before
};

// N(0, deviation²), independent of every other tensor's.
Tensor noise(const Tensor& like, double deviation, uint64_t key) {
  Tensor made = torch::empty(like.sizes(), torch::kFloat32);
  float* out = made.data_ptr<float>();
  const int64_t n = made.numel();
#pragma omp parallel for schedule(static) if (n > 4096)
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<float>(deviation * random_normal(key, static_cast<uint64_t>(i)));
  return made.to(like.options());
}

// "layers.1.experts.body.up" → "layers.1.mlp.up"; nothing for a router, which is fresh.
std::optional<std::string> source_of(const std::string& name, int64_t layer, const Place& place) {
  const std::string before = concat("layers.", layer, ".", place.experts, ".");
  if (!name.starts_with(before)) return name;
  std::string rest = name.substr(before.size());
  if (rest.starts_with("router.")) return std::nullopt;
  if (rest.starts_with("body.")) rest = rest.substr(5);
  return concat("layers.", layer, ".", place.mlp, ".", rest);
}

std::optional<std::string> source_of(const std::string& name,
                                     const std::map<int64_t, Place>& places) {
  for (const auto& [layer, place] : places) {
    const auto source = source_of(name, layer, place);
    if (source != name) return source;
  }
  return name;
}

}  // namespace

Config upcycled(const Config& dense, const UpcycleOptions& options) {
  check(options.experts >= 2, "[upcycle] experts must be at least 2 but are ", options.experts);
  return Upcycler(dense, options).config();
}

std::shared_ptr<Model> upcycle(const Model& dense, const UpcycleOptions& options) {
  const torch::NoGradGuard no_grad;
  check(options.experts >= 2, "[upcycle] experts must be at least 2 but are ", options.experts);
  Upcycler upcycler(dense.config(), options);
  auto sparse = std::make_shared<Model>(upcycler.config());
  initialise(*sparse, options.seed);
  convert(*sparse, dense.dtype(), dense.device());
  const auto weights = dense.named_parameters();
  for (auto& item : sparse->named_parameters()) {
    const auto source = source_of(item.key(), upcycler.places());
    if (!source) continue;
    const Tensor* from = weights.find(*source);
    check(from != nullptr, "[upcycle] the dense model has no parameter ", *source);
    Tensor& to = item.value();
    to.copy_(from->expand_as(to));  // of an expert's: each is the whole mlp's
    if (options.noise == 0 || from->dim() != 2 || to.dim() != 3) continue;
    const double rms = std::sqrt(from->to(torch::kFloat64).square().mean().item<double>());
    to.add_(noise(to, options.noise * rms, stream_key(options.seed, "upcycle/" + item.key())));
  }
  return sparse;
}

}  // namespace pointwork
