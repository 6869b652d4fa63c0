#pragma once
// LayerNorm and RMSNorm as modules.

#include <torch/nn/module.h>

#include "pointwork/config/model_config.h"

namespace pointwork {

using torch::Tensor;

class Norm : public torch::nn::Module {
 public:
  Norm(int64_t size, const ModelConfig& config);
  Tensor forward(const Tensor& x);  // [..., size], normalised over the last dimension

  Tensor weight;  // [size]
  Tensor bias;    // [size], undefined where there is none

 private:
  NormKind kind_;
  double eps_;
};

}  // namespace pointwork
