#include "pointwork/ops/router_scores.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "pointwork/base/check.h"
#include "pointwork/ops/random.h"

namespace pointwork {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

torch::Dtype wide_type(const Tensor& x) {
  return x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

// What x is multiplied by; undefined: 1.
Tensor factor_of(const InputNoise& noise, int64_t width, torch::Dtype wide) {
  if (noise.kind == InputNoise::Kind::none || noise.amount == 0) return {};
  const Tensor draw =
      random_rows(noise.key, noise.position, noise.sequence, noise.sequence_key, width).to(wide);
  if (noise.kind == InputNoise::Kind::jitter)
    return draw.mul_(2 * noise.amount).add_(1 - noise.amount);
  return draw.ge(noise.amount).to(wide).div_(1 - noise.amount);
}

Tensor noisy(const Tensor& x, const Tensor& factor) {
  const Tensor wide = x.to(wide_type(x));
  return factor.defined() ? wide * factor : wide;
}

class RouterProduct : public torch::autograd::Function<RouterProduct> {
 public:
  static Tensor forward(AutogradContext* ctx, const Variable& x, const Variable& weight,
                        const std::optional<Variable>& bias, const Tensor& position,
                        const Tensor& sequence, const Tensor& sequence_key, int64_t kind,
                        double amount, int64_t key) {
    ctx->save_for_backward({x, weight, position, sequence, sequence_key});
    ctx->saved_data["bias"] = static_cast<int64_t>(bias ? bias->scalar_type() : torch::kFloat32);
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["amount"] = amount;
    ctx->saved_data["key"] = key;
    const InputNoise noise{static_cast<InputNoise::Kind>(kind),
                           amount,
                           static_cast<uint64_t>(key),
                           position,
                           sequence,
                           sequence_key};
    const auto wide = wide_type(x);
    const Tensor read = noisy(x, factor_of(noise, x.size(1), wide));
    const Tensor turned = weight.to(wide).t();
    return bias ? at::addmm(bias->to(wide), read, turned) : at::mm(read, turned);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const InputNoise noise{static_cast<InputNoise::Kind>(ctx->saved_data["kind"].toInt()),
                           ctx->saved_data["amount"].toDouble(),
                           static_cast<uint64_t>(ctx->saved_data["key"].toInt()),
                           saved[2],
                           saved[3],
                           saved[4]};
    const Tensor factor = factor_of(noise, x.size(1), wide_type(x));
    const Tensor d_y = grads[0];
    Tensor d_x, d_weight, d_bias;
    if (ctx->needs_input_grad(0)) {
      d_x = at::mm(d_y, weight.to(d_y.scalar_type()));
      if (factor.defined()) d_x.mul_(factor);
      d_x = d_x.to(x.scalar_type());
    }
    if (ctx->needs_input_grad(1))
      d_weight = at::mm(d_y.t(), noisy(x, factor)).to(weight.scalar_type());
    if (ctx->needs_input_grad(2))
      d_bias = d_y.sum(0).to(static_cast<torch::Dtype>(ctx->saved_data["bias"].toInt()));
    return {d_x, d_weight, d_bias, {}, {}, {}, {}, {}, {}};
  }
};

}  // namespace

Tensor router_product(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const InputNoise& noise) {
  check(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(1),
        "[router_product] x must be [T, ", weight.size(-1), "] but has shape ", x.sizes());
  check(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0)),
        "[router_product] bias must be [", weight.size(0), "] but has shape ",
        bias.defined() ? bias.sizes() : x.sizes());
  check(noise.kind == InputNoise::Kind::none ||
            (noise.position.defined() && noise.position.size(0) == x.size(0)),
        "[router_product] noise needs the positions of ", x.size(0), " rows");
  const auto known = [&](const Tensor& t) {
    return t.defined() ? t : torch::empty({0}, torch::kInt32);
  };
  return RouterProduct::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt,
                              known(noise.position), known(noise.sequence),
                              known(noise.sequence_key), static_cast<int64_t>(noise.kind),
                              noise.amount, static_cast<int64_t>(noise.key));
}

Tensor router_scores(const Tensor& x, const Tensor& weight, const InputNoise& noise) {
  return router_product(x, weight, {}, noise);
}

}  // namespace pointwork
