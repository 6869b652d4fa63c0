#include <cmath>
#include <map>
#include <set>
#include <string_view>

#include "pointwork/base/rng.h"
#include "pointwork/model/model.h"
#include "pointwork/route/depth_router.h"
#include "pointwork/route/token_router.h"

namespace pointwork {
namespace {

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

struct Draw {
  double scale = 1;
  double cut = 0;  // deviations beyond which a value is drawn again; 0: none
};

double draw_one(const Draw& draw, uint64_t key, uint64_t at) {
  double value = random_normal(key, at);
  for (uint64_t again = 1; draw.cut > 0 && std::abs(value) > draw.cut; ++again)
    value = random_normal(key, at, again);
  return draw.scale * value;
}

// Filled in float64 on the CPU, then copied: the values depend on neither device nor thread count.
void fill_normal(Tensor parameter, const Draw& draw, uint64_t key) {
  Tensor host = torch::empty({parameter.numel()}, torch::kFloat32);
  float* out = host.data_ptr<float>();
  const int64_t n = host.numel();
#pragma omp parallel for schedule(static) if (n > 4096)
  for (int64_t i = 0; i < n; ++i) {
    out[i] = static_cast<float>(draw_one(draw, key, static_cast<uint64_t>(i)));
  }
  parameter.copy_(host.view_as(parameter));
}

// What belongs to a router, with its scale, found by the tree: branches may be called what they
// like.
std::map<std::string, double> router_scales(const Model& model) {
  std::map<std::string, double> scale;
  for (const auto& item : model.named_modules("", false)) {
    const auto* router = dynamic_cast<const Router*>(item.value().get());
    if (!router) continue;
    for (const auto& parameter : router->named_parameters())
      scale[item.key() + "." + parameter.key()] = router->config().initializer_range;
  }
  return scale;
}

}  // namespace

bool is_predictor(const std::string& parameter_name) {
  return parameter_name.find(".router.predictor.") != std::string::npos;
}

std::set<std::string> router_parameters(const Model& model) {
  std::set<std::string> names;
  for (const auto& [name, scale] : router_scales(model)) names.insert(name);
  return names;
}

bool is_feature(const std::string& parameter_name) {
  const size_t at = parameter_name.rfind(".features.");
  if (at == std::string::npos) return false;
  // No branch called `features` has parameters of these names.
  std::string_view leaf = std::string_view(parameter_name).substr(at + 10);
  if (leaf.ends_with("_bias")) leaf.remove_suffix(5);
  return leaf == "hidden" || leaf == "projection" || leaf == "input" || leaf == "recurrent";
}

bool is_matrix(const std::string& parameter_name, const Tensor& parameter) {
  const std::string leaf = parameter_name.substr(parameter_name.rfind('.') + 1);
  // Norms and routers alone call theirs weight and bias; of experts they have two dimensions.
  if (parameter_name.ends_with(".router.predictor.output") ||
      parameter_name.ends_with(".router.round_embedding") || is_feature(parameter_name))
    return false;
  return parameter.dim() >= 2 && leaf != "weight" && leaf != "bias" && !ends_with(leaf, "_bias");
}

void initialise(Model& model, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  const ModelConfig& config = model.config().model;
  const double range = config.initializer_range;
  const double residual =
      config.initializer == Initializer::gpt2
          ? range / std::sqrt(2.0 * static_cast<double>(config.num_hidden_layers))
          : range;
  const std::map<std::string, double> routers = router_scales(model);
  for (auto& item : model.named_parameters()) {
    const std::string& name = item.key();
    Tensor& value = item.value();
    Draw draw{.scale = range};
    if (is_predictor(name)) {
      if (value.dim() == 1 && !ends_with(name, ".output")) continue;  // biases hold their start
      draw.scale = 1 / std::sqrt(static_cast<double>(value.size(-1)));
    } else if (const auto own = routers.find(name); own != routers.end()) {
      if (ends_with(name, "bias")) continue;
      draw.scale = own->second;
    } else if (!is_matrix(name, value)) {
      continue;  // norms are one, biases zero from construction
    } else if (config.initializer == Initializer::switch_ && name.starts_with("layers.")) {
      draw = {std::sqrt(config.initializer_scale / static_cast<double>(value.size(-1))), 2};
    } else if (ends_with(name, ".output") || ends_with(name, ".down")) {
      draw.scale = residual;
    }
    fill_normal(value, draw, stream_key(seed, "initialise/" + name));
  }
}

namespace {

// What scores and decides.
std::set<const at::TensorImpl*> wide_parameters(const Model& model) {
  std::set<const at::TensorImpl*> wide;
  for (const auto& module : model.modules(false)) {
    if (const auto* features = dynamic_cast<const RouterFeatures*>(module.get())) {
      for (const Tensor& parameter : features->parameters())
        wide.insert(parameter.unsafeGetTensorImpl());
    }
    if (const auto* by_token = dynamic_cast<const TokenRouter*>(module.get())) {
      for (const Tensor& parameter : by_token->parameters())
        wide.insert(parameter.unsafeGetTensorImpl());
    }
    const auto* router = dynamic_cast<const Router*>(module.get());
    if (!router) continue;
    if (router->weight.defined()) wide.insert(router->weight.unsafeGetTensorImpl());
    const auto* depth = dynamic_cast<const DepthRouter*>(router);
    if (!depth || !depth->predictor) continue;
    wide.insert(depth->predictor->output.unsafeGetTensorImpl());
    wide.insert(depth->predictor->output_bias.unsafeGetTensorImpl());
  }
  return wide;
}

template <class Make>
void retype(Model& model, torch::Dtype dtype, const Make& make) {
  const torch::NoGradGuard no_grad;
  const auto wide = wide_parameters(model);
  for (auto& item : model.named_parameters()) {
    Tensor& value = item.value();
    const bool stays = wide.count(value.unsafeGetTensorImpl()) > 0 && dtype != torch::kFloat64;
    value.set_data(make(value, stays ? torch::kFloat32 : dtype));
  }
}

}  // namespace

void convert(Model& model, torch::Dtype dtype, torch::Device device) {
  retype(model, dtype,
         [&](const Tensor& value, torch::Dtype own) { return value.to(device, own); });
  for (auto& item : model.named_buffers()) item.value().set_data(item.value().to(device));
}

void make_room(Model& model, torch::Dtype dtype) {
  retype(model, dtype, [](const Tensor& value, torch::Dtype own) {
    return value.scalar_type() == own ? value.detach() : torch::empty(value.sizes(), own);
  });
}

}  // namespace pointwork
