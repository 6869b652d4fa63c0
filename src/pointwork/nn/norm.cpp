#include "pointwork/nn/norm.h"

#include "pointwork/ops/grouped.h"
#include "pointwork/ops/norm.h"

namespace pointwork {

Norm::Norm(int64_t size, const ModelConfig& config, int64_t experts)
    : kind_(config.norm), eps_(config.norm_eps) {
  const std::vector<int64_t> shape =
      experts > 0 ? std::vector<int64_t>{experts, size} : std::vector<int64_t>{size};
  weight = register_parameter("weight", torch::ones(shape));
  if (kind_ == NormKind::layernorm && config.norm_bias)
    bias = register_parameter("bias", torch::zeros(shape));
}

Tensor Norm::forward(const Tensor& x) {
  return kind_ == NormKind::layernorm ? layer_norm(x, weight, bias, eps_)
                                      : rms_norm(x, weight, eps_);
}

Tensor Norm::even(const Tensor& x) const {
  const Tensor one = torch::ones({x.size(1)}, x.options());
  return kind_ == NormKind::layernorm ? layer_norm(x, one, {}, eps_) : rms_norm(x, one, eps_);
}

Tensor Norm::scale(const Tensor& x, const Tensor& offset) const {
  const Tensor scaled = x * spread_rows(weight, offset, x.size(0));
  return bias.defined() ? scaled + spread_rows(bias, offset, x.size(0)) : scaled;
}

}  // namespace pointwork
