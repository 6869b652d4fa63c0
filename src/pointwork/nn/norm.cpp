#include "pointwork/nn/norm.h"

#include "pointwork/ops/norm.h"

namespace pointwork {

Norm::Norm(int64_t size, const ModelConfig& config) : kind_(config.norm), eps_(config.norm_eps) {
  weight = register_parameter("weight", torch::ones({size}));
  if (kind_ == NormKind::layernorm && config.norm_bias) {
    bias = register_parameter("bias", torch::zeros({size}));
  }
}

Tensor Norm::forward(const Tensor& x) {
  return kind_ == NormKind::layernorm ? layer_norm(x, weight, bias, eps_)
                                      : rms_norm(x, weight, eps_);
}

}  // namespace pointwork
