#include "pointwork/ops/norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "pointwork/base/check.h"
#include "pointwork/kernels/norm.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/kernel_types.h"

namespace pointwork {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// One function for both kinds: RMSNorm has neither mean nor bias. What may be undefined must be an
// optional to autograd.
class NormFunction : public torch::autograd::Function<NormFunction> {
 public:
  static Tensor forward(AutogradContext* ctx, const Variable& x, const Variable& weight,
                        const std::optional<Variable>& maybe_bias, double eps, bool centred) {
    const Tensor bias = maybe_bias.value_or(Tensor());
    const int64_t width = x.size(-1), rows = x.numel() / width;
    const auto wide = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    Tensor y = torch::empty_like(x);
    Tensor rstd = torch::empty({rows}, x.options().dtype(wide));
    Tensor mean = centred ? torch::empty({rows}, x.options().dtype(wide)) : Tensor();
    dispatch_type(x, [&](auto type) {
      using T = decltype(type);
      using A = kernels::Accumulator<T>;
      if (centred) {
        kernels::cpu::layer_norm(kernel_data<T>(x), kernel_data<T>(weight),
                                 bias.defined() ? kernel_data<T>(bias) : nullptr, eps,
                                 kernel_data<T>(y), kernel_data<A>(mean), kernel_data<A>(rstd),
                                 rows, width);
      } else {
        kernels::cpu::rms_norm(kernel_data<T>(x), kernel_data<T>(weight), eps, kernel_data<T>(y),
                               kernel_data<A>(rstd), rows, width);
      }
    });
    ctx->save_for_backward({x, weight, mean, rstd});
    ctx->saved_data["bias"] = bias.defined();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &rstd = saved[3];
    const bool has_bias = ctx->saved_data["bias"].toBool();
    const Tensor dy = grads[0].contiguous();
    const int64_t width = x.size(-1), rows = x.numel() / width;
    Tensor dx = torch::empty_like(x);
    Tensor d_weight = torch::empty({width}, rstd.options());
    Tensor d_bias = has_bias ? torch::empty({width}, rstd.options()) : Tensor();
    dispatch_type(x, [&](auto type) {
      using T = decltype(type);
      using A = kernels::Accumulator<T>;
      A* bias_sum = has_bias ? kernel_data<A>(d_bias) : nullptr;
      if (mean.defined()) {
        kernels::cpu::layer_norm_backward(kernel_data<T>(dy), kernel_data<T>(x),
                                          kernel_data<T>(weight), kernel_data<A>(mean),
                                          kernel_data<A>(rstd), kernel_data<T>(dx),
                                          kernel_data<A>(d_weight), bias_sum, rows, width);
      } else {
        kernels::cpu::rms_norm_backward(kernel_data<T>(dy), kernel_data<T>(x),
                                        kernel_data<T>(weight), kernel_data<A>(rstd),
                                        kernel_data<T>(dx), kernel_data<A>(d_weight), rows, width);
      }
    });
    return {dx,
            d_weight.to(weight.scalar_type()),
            has_bias ? d_bias.to(weight.scalar_type()) : Tensor(),
            {},
            {}};
  }
};

void check_width(const char* op, const char* what, const Tensor& x, const Tensor& of) {
  check(of.dim() == 1 && of.size(0) == x.size(-1), "[", op, "] ", what, " must be [", x.size(-1),
        "] but has shape ", of.sizes());
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  check_width("layer_norm", "weight", x, weight);
  if (bias.defined()) check_width("layer_norm", "bias", x, bias);
  if (!use_kernel(x) || weight.scalar_type() != x.scalar_type() ||
      (bias.defined() && bias.scalar_type() != x.scalar_type())) {
    return at::layer_norm(x, {x.size(-1)}, weight, bias, eps);
  }
  return NormFunction::apply(x.contiguous(), weight, std::optional(bias), eps, true);
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  check_width("rms_norm", "weight", x, weight);
  if (!use_kernel(x) || weight.scalar_type() != x.scalar_type()) {
    const auto type = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    const Tensor wide = x.to(type);
    const Tensor scale = wide.square().mean(-1, true).add(eps).rsqrt();
    return (wide * scale * weight.to(type)).to(x.scalar_type());
  }
  return NormFunction::apply(x.contiguous(), weight, std::optional<Tensor>(), eps, false);
}

}  // namespace pointwork
