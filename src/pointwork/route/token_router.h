#pragma once
// Token choice: each row takes the experts of its highest scores. Switch Transformers
// (arXiv:2101.03961) with k = 1; mixtures of experts; no-op experts beside real ones.

#include "pointwork/route/router.h"
#include "pointwork/route/router_features.h"
#include "pointwork/route/token_choice.h"

namespace pointwork {

// logits = W x (no bias), all in float32 whatever the stream's type (selective precision, §2.4); of
// an mlp or a gru W f(x) + b, f what route/router_features.h makes of a row and its state. With one
// expert the slots stand by sequence, so that its body may be any branch: Mixture-of-Depths by
// token choice. With more, and those of attention's own weights, they stand by expert.
class TokenRouter : public Router {
 public:
  TokenRouter(const RouterOptions& options, const RouteConfig& config);

  // Capacity and drops with Routing::training only: the evaluation factor unless ctx.training.
  using Router::forward;
  Route forward(const Tensor& x, RouterState& state, Context& ctx) override;
  // Balance, z and per-sequence balance, weighted.
  Tensor loss(const Route& route) const override;
  // Moves the bias by the loads of the step.
  void end_step() override;
  double share(int64_t step) const override;
  Extent inside(const Extent& extent) const override;
  Extent slots(const Extent& extent) const override;
  void flops(const Extent& extent, const std::string& name, FlopParts& parts) const override;
  double kept_bytes_per_row(int64_t step, double element) const override;
  double taking(int64_t step) const override;

  // float32 [E + O], added to scores for the choice only; undefined without bias_rate and
  // target_active. It starts at 0.
  Tensor bias;

  std::shared_ptr<RouterFeatures> features;  // null: the scores are linear in the row
  Tensor output_bias;                        // float32 [E + O], with features
  Tensor round_embedding;  // float32 [R, D], optional: added to the router's input in each round
  Tensor round_bias;       // float32 [R, E + O], optional: added to the logits

 private:
  RouteConfig at(int64_t step) const;  // with the choices of that step
  int64_t round_of(int64_t round) const { return round % rounds_; }
  Tensor scores(const Tensor& x, RouterState& state, const Context& ctx) const;
  Tensor linear_scores(const Tensor& x, const Tensor& extra, const InputNoise& noise) const;
  InputNoise noise(const Context& ctx) const;
  Tensor in_order(const Tensor& ranked, const Context& ctx) const;
  uint64_t stream(const char* what, const Context& ctx) const;
  Tensor choose(const Tensor& logits, const Tensor& probability, const RouterState& state,
                const Context& ctx) const;
  Tensor combine_weight(const Tensor& probability, const Tensor& choice) const;
  // Rank 1 of `choice` where it is used, -1 where it is not.
  Tensor without_idle_second(const Tensor& choice, const Tensor& probability,
                             const Context& ctx) const;
  Tensor uniform(const char* what, const Context& ctx, int64_t width) const;
  CapacityGroups groups(const Context& ctx) const;
  double slot_share(const Extent& extent) const;

  bool one_;  // one expert: slots by sequence
  int64_t rounds_;
  double width_;  // D
  Tensor load_;   // float32 [E + O], of this step
  Tensor rows_;   // float32 []
};

}  // namespace pointwork
