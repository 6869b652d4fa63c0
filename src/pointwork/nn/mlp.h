#pragma once
// The feed-forward leaf: norm, up-projection, activation, down-projection. With experts each has
// weights of its own.

#include "pointwork/config/model_config.h"
#include "pointwork/nn/branch.h"
#include "pointwork/nn/norm.h"

namespace pointwork {

struct MlpOptions {
  std::string name;     // its place in the module tree: names its random streams
  int64_t experts = 0;  // E; 0: one mlp, whose weights have no expert dimension
  bool norm = true;     // inside; false: a routed branch has it outside
};

class Mlp : public Branch {
 public:
  Mlp(const ModelConfig& model, const MlpConfig& config, const MlpOptions& options = {});
  using Branch::add_to;
  using Branch::forward;
  Output forward(const Tensor& x, const State& state, Context& ctx) override;
  Output add_to(const Tensor& x, const State& state, Context& ctx) override;
  double kept_bytes(const Extent& extent, double element) const override;
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override;

  int64_t experts() const { return options_.experts; }

  std::shared_ptr<Norm> norm, output_norm;
  Tensor up;         // [F, D]; with swiglu [2F, D]: gate rows, then up rows; of experts [E, F, D]
  Tensor up_bias;    // [F] or [2F], optional; of experts [E, F]
  Tensor down;       // [D, F]; of experts [E, D, F]
  Tensor down_bias;  // [D], optional; of experts [E, D]

 private:
  Tensor apply(const std::shared_ptr<Norm>& norm, const Tensor& x, const Context& ctx) const;
  Tensor product(const Tensor& x, const Tensor& weight, const Tensor& bias,
                 const Context& ctx) const;
  Tensor hidden(const Tensor& x, const Context& ctx);  // [T, F]
  Tensor dropped(const Tensor& hidden, const Context& ctx) const;

  Activation activation_;
  double dropout_;
  MlpOptions options_;
};

}  // namespace pointwork
