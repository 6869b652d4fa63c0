#include "pointwork/nn/mlp.h"

#include "pointwork/ops/activation.h"
#include "pointwork/ops/linear.h"

namespace pointwork {

Mlp::Mlp(const ModelConfig& model, const MlpConfig& config) : activation_(config.hidden_act) {
  const int64_t d = model.hidden_size;
  const int64_t f = config.intermediate_size > 0 ? config.intermediate_size : 4 * d;
  const int64_t rows = activation_ == Activation::swiglu ? 2 * f : f;
  norm = register_module("norm", std::make_shared<Norm>(d, model));
  up = register_parameter("up", torch::empty({rows, d}));
  if (config.bias) up_bias = register_parameter("up_bias", torch::zeros({rows}));
  down = register_parameter("down", torch::empty({d, f}));
  if (config.bias) down_bias = register_parameter("down_bias", torch::zeros({d}));
  if (config.output_norm) {
    output_norm = register_module("output_norm", std::make_shared<Norm>(d, model));
  }
}

Tensor Mlp::hidden(const Tensor& x) {
  return activate(project(norm->forward(x), up, up_bias), activation_);
}

Output Mlp::forward(const Tensor& x, Context&) {
  Tensor delta = project(hidden(x), down, down_bias);
  return {output_norm ? output_norm->forward(delta) : delta, {}};
}

Output Mlp::add_to(const Tensor& x, Context& ctx) {
  if (output_norm) return Branch::add_to(x, ctx);
  return {project_add(x, hidden(x), down, down_bias), {}};
}

// The normalised row, both sides of the activation, and the new stream.
double Mlp::kept_bytes(const Extent& extent, double element) const {
  const double values =
      static_cast<double>((output_norm ? 3 : 2) * down.size(0) + up.size(0) + down.size(1));
  return extent.total() * (values * element + 8);
}

void Mlp::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  double rest = parameter_count(*this);
  const auto part = [&](const std::string& what, const Tensor& weight, const Tensor& bias) {
    const double size = static_cast<double>(weight.numel());
    const double all = size + (bias.defined() ? static_cast<double>(bias.numel()) : 0);
    parts.push_back({name + "." + what, 2 * size * extent.total(), all, all * extent.share()});
    rest -= all;
  };
  part("up", up, up_bias);
  part("down", down, down_bias);
  parts.push_back({name + ".norms", 0, rest, rest * extent.share()});
}

}  // namespace pointwork
