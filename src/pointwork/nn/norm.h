#pragma once
// LayerNorm and RMSNorm as modules.

#include <torch/nn/module.h>

#include "pointwork/config/model_config.h"

namespace pointwork {

using torch::Tensor;

class Norm : public torch::nn::Module {
 public:
  // With `experts` above 0 each has a weight and bias of its own.
  Norm(int64_t size, const ModelConfig& config, int64_t experts = 0);
  Tensor forward(const Tensor& x);  // [..., size], normalised over the last dimension
  // The same by each row's own expert: those of expert e are offset[e] .. offset[e + 1]. x [N,
  // size]
  Tensor forward(const Tensor& x, const Tensor& offset) { return scale(even(x), offset); }
  // Its two halves: rows of mean 0 and square 1, whoever's they are; and an expert's own weights.
  Tensor even(const Tensor& x) const;
  Tensor scale(const Tensor& x, const Tensor& offset) const;

  Tensor weight;  // [size] or [E, size]
  Tensor bias;    // the same, undefined where there is none

 private:
  NormKind kind_;
  double eps_;
};

}  // namespace pointwork
