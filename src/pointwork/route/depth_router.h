#pragma once
// Mixture-of-Depths: the tokens of highest score in each sequence enter, and a causal decision
// stands in for that choice at inference.

#include "pointwork/route/router.h"

namespace pointwork {

// "A small auxiliary MLP predictor (akin to a second router)" on a stopped gradient: D → D/2 → 1
// with SiLU.
class Predictor : public torch::nn::Module {
 public:
  Predictor(int64_t size, double capacity, int64_t experts = 1);
  // [T, D] → float32 [T], the logit of "will be chosen"; of several experts [T, E]
  Tensor forward(const Tensor& x);

  Tensor hidden;       // [D/2, D]
  Tensor hidden_bias;  // [D/2]
  Tensor output;       // float32 [D/2] or [E, D/2]
  Tensor output_bias;  // float32 [E]
};

class DepthRouter : public Router {
 public:
  DepthRouter(std::string name, int64_t size, const RouteConfig& config);

  // With capacity 1 every row enters.
  using Router::forward;
  Route forward(const Tensor& x, RouterState& state, Context& ctx) override;
  // Of the causal decision: weighted by route.decode_loss_weight where the router itself decides,
  // by 1 where a predictor does (whose input is a stopped gradient, so that nothing else feels it).
  Tensor loss(const Route& route) const override;
  double share(int64_t step) const override;
  Extent inside(const Extent& extent) const override;
  Extent slots(const Extent& extent) const override;
  void flops(const Extent& extent, const std::string& name, FlopParts& parts) const override;
  double kept_bytes_per_row(int64_t step, double element) const override;

  double capacity(int64_t step) const;

  Tensor
      threshold;  // float32 [2], with choice = threshold: the moving quantile, and 1 once it is set
  std::shared_ptr<Predictor> predictor;

 private:
  Route choose(const Tensor& score, const Tensor& decision, const Context& ctx,
               double capacity) const;
  Tensor combine_weight(const Tensor& chosen_score) const;
  Tensor decide(const Tensor& x, const Tensor& score, double capacity, const Context& ctx);
  void move_threshold(const Tensor& boundary);

  double width_;  // D
};

}  // namespace pointwork
