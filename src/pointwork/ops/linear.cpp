#include "pointwork/ops/linear.h"

#include "pointwork/base/check.h"

namespace pointwork {

Tensor project(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(x.dim() == 2 && x.size(1) == weight.size(1), "[project] x must be [T, ", weight.size(1), "] but has shape ",
        x.sizes());
  return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
}

Tensor project_add(const Tensor& residual, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor sum = at::addmm(residual, x, weight.t());
  return bias.defined() ? sum + bias : sum;
}

Tensor row_dot(const Tensor& x, const Tensor& weight) {
  check(x.dim() == 2 && x.size(1) == weight.size(0), "[row_dot] x must be [T, ", weight.size(0),
        "] but has shape ", x.sizes());
  const auto accumulate = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  return at::mv(x.to(accumulate), weight.to(accumulate));
}

}  // namespace pointwork
