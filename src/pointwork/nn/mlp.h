#pragma once
// The feed-forward leaf: norm, up-projection, activation, down-projection.

#include "pointwork/config/model_config.h"
#include "pointwork/nn/branch.h"
#include "pointwork/nn/norm.h"

namespace pointwork {

class Mlp : public Branch {
 public:
  Mlp(const ModelConfig& model, const MlpConfig& config);
  Output forward(const Tensor& x, Context& ctx) override;
  Output add_to(const Tensor& x, Context& ctx) override;
  double kept_bytes(const Extent& extent, double element) const override;
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override;

  std::shared_ptr<Norm> norm, output_norm;
  Tensor up;         // [F, D]; with swiglu [2F, D]: gate rows, then up rows
  Tensor up_bias;    // [F] or [2F], optional
  Tensor down;       // [D, F]
  Tensor down_bias;  // [D], optional

 private:
  Tensor hidden(const Tensor& x);  // [T, F]
  Activation activation_;
};

}  // namespace pointwork
