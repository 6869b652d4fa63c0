#include "pointwork/nn/mlp.h"

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/ops/activation.h"
#include "pointwork/ops/grouped.h"
#include "pointwork/ops/linear.h"
#include "pointwork/ops/random.h"

namespace pointwork {

Mlp::Mlp(const ModelConfig& model, const MlpConfig& config, const MlpOptions& options)
    : activation_(config.hidden_act), dropout_(config.dropout), options_(options) {
  const int64_t d = model.hidden_size;
  const int64_t f = config.intermediate_size > 0 ? config.intermediate_size : 4 * d;
  const int64_t rows = activation_ == Activation::swiglu ? 2 * f : f;
  const auto shape = [&](std::vector<int64_t> one) {
    if (options_.experts > 0) one.insert(one.begin(), options_.experts);
    return one;
  };
  if (options_.norm)
    norm = register_module("norm", std::make_shared<Norm>(d, model, options_.experts));
  up = register_parameter("up", torch::empty(shape({rows, d})));
  if (config.bias) up_bias = register_parameter("up_bias", torch::zeros(shape({rows})));
  down = register_parameter("down", torch::empty(shape({d, f})));
  if (config.bias) down_bias = register_parameter("down_bias", torch::zeros(shape({d})));
  if (config.output_norm)
    output_norm =
        register_module("output_norm", std::make_shared<Norm>(d, model, options_.experts));
}

Tensor Mlp::apply(const std::shared_ptr<Norm>& norm, const Tensor& x, const Context& ctx) const {
  if (!norm) return x;
  return options_.experts > 0 ? norm->forward(x, ctx.rows.expert_offset) : norm->forward(x);
}

Tensor Mlp::product(const Tensor& x, const Tensor& weight, const Tensor& bias,
                    const Context& ctx) const {
  return options_.experts > 0 ? grouped_project(x, weight, ctx.rows.expert_offset, bias)
                              : project(x, weight, bias);
}

// Of the values between activation and down-projection: expert dropout where this is an expert.
// Each row's own, whoever stands beside it; a token's experts drop different ones.
Tensor Mlp::dropped(const Tensor& hidden, const Context& ctx) const {
  if (!ctx.training || dropout_ == 0) return hidden;
  const int64_t width = (hidden.size(1) + 3) / 4 * 4;
  Tensor first;
  if (options_.experts > 0)
    first = expert_of_rows(ctx.rows.expert_offset, hidden.size(0)) * static_cast<int32_t>(width);
  const uint64_t key =
      stream_key(ctx.seed, concat("dropout/", options_.name, "#", ctx.round, "@", ctx.step));
  const Tensor draw =
      random_rows(key, ctx.rows.position, ctx.rows.sequence, ctx.rows.key, width, first)
          .slice(1, 0, hidden.size(1));
  return hidden * (draw.ge(dropout_).to(hidden.scalar_type()) / (1 - dropout_));
}

Tensor Mlp::hidden(const Tensor& x, const Context& ctx) {
  return dropped(activate(product(apply(norm, x, ctx), up, up_bias, ctx), activation_), ctx);
}

Output Mlp::forward(const Tensor& x, const State&, Context& ctx) {
  check(options_.experts == 0 || ctx.rows.expert_offset.defined(),
        "[mlp] experts need rows that stand by expert");
  const Tensor delta = product(hidden(x, ctx), down, down_bias, ctx);
  return {apply(output_norm, delta, ctx), {}, {}};
}

Output Mlp::add_to(const Tensor& x, const State& state, Context& ctx) {
  if (output_norm || options_.experts > 0) return Branch::add_to(x, state, ctx);
  return {project_add(x, hidden(x, ctx), down, down_bias), {}, {}};
}

// The normalised row, both sides of the activation, and the new stream; with dropout the mask too.
double Mlp::kept_bytes(const Extent& extent, double element) const {
  const auto width = static_cast<double>(down.size(-2)), f = static_cast<double>(down.size(-1));
  // Of experts' norms also the even row and each row's own weights.
  const double each = options_.experts > 0 ? 3 : 1;
  const double rows = each * ((norm ? 1 : 0) + (output_norm ? 1 : 0)) + 1;
  const double values =
      rows * width + static_cast<double>(up.size(-2)) + (dropout_ > 0 ? 3 : 1) * f;
  return extent.total() * (values * element + 8);
}

// Of one expert for each row that enters.
void Mlp::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  const auto experts = static_cast<double>(std::max<int64_t>(options_.experts, 1));
  double rest = parameter_count(*this);
  const auto part = [&](const std::string& what, const Tensor& weight, const Tensor& bias) {
    const double size = static_cast<double>(weight.numel());
    const double all = size + (bias.defined() ? static_cast<double>(bias.numel()) : 0);
    parts.push_back({name + "." + what, 2 * size / experts * extent.total(), all,
                     all / experts * extent.share()});
    rest -= all;
  };
  part("up", up, up_bias);
  part("down", down, down_bias);
  if (rest > 0) parts.push_back({name + ".norms", 0, rest, rest / experts * extent.share()});
}

}  // namespace pointwork
