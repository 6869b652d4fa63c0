#include "pointwork/ops/linear.h"

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

void check_product(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(x.dim() == 2 && x.size(1) == weight.size(1), "[", op, "] x must be [T, ", weight.size(1),
        "] but has shape ", x.sizes());
  check(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0)), "[", op,
        "] bias must be [", weight.size(0), "] but has shape ",
        bias.defined() ? bias.sizes() : x.sizes());
}

}  // namespace

Tensor project(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_product("project", x, weight, bias);
  return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
}

Tensor project_add(const Tensor& residual, const Tensor& x, const Tensor& weight,
                   const Tensor& bias) {
  check_product("project_add", x, weight, bias);
  check(residual.dim() == 2 && residual.size(0) == x.size(0) && residual.size(1) == weight.size(0),
        "[project_add] residual must be [", x.size(0), ", ", weight.size(0), "] but has shape ",
        residual.sizes());
  const Tensor sum = at::addmm(residual, x, weight.t());
  return bias.defined() ? sum + bias : sum;
}

Tensor row_dot(const Tensor& x, const Tensor& weight) {
  check(x.dim() == 2 && (weight.dim() == 1 || weight.dim() == 2) && x.size(1) == weight.size(-1),
        "[row_dot] x must be [T, ", weight.size(-1), "] but has shape ", x.sizes());
  const auto accumulate = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  if (weight.dim() == 2) return at::mm(x.to(accumulate), weight.to(accumulate).t());
  return at::mv(x.to(accumulate), weight.to(accumulate));
}

}  // namespace pointwork
