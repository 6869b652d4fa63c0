#pragma once
// Token choice: each row takes the experts of its highest scores. Switch Transformers
// (arXiv:2101.03961) with k = 1; mixtures of experts; no-op experts beside real ones.

#include "pointwork/route/router.h"
#include "pointwork/route/token_choice.h"

namespace pointwork {

// logits = W x (no bias), all in float32 whatever the stream's type (selective precision, §2.4).
// With one expert the slots stand by sequence, so that its body may be any branch:
// Mixture-of-Depths by token choice. With more they stand by expert, and the body is an mlp.
class TokenRouter : public Router {
 public:
  TokenRouter(const RouterOptions& options, const RouteConfig& config);

  // Capacity and drops with Routing::training only: the evaluation factor unless ctx.training.
  Route forward(const Tensor& x, Context& ctx) override;
  // Balance, z and per-sequence balance, weighted.
  Tensor loss(const Route& route) const override;
  // Moves the bias by the loads of the step.
  void end_step() override;
  double share(int64_t step) const override;
  Extent inside(const Extent& extent) const override;
  Extent slots(const Extent& extent) const override;
  void flops(const Extent& extent, const std::string& name, FlopParts& parts) const override;
  double kept_bytes_per_row(int64_t step, double element) const override;

  // float32 [E + O], added to scores for the choice only; undefined without bias_rate and
  // target_active. It starts at 0.
  Tensor bias;

 private:
  Tensor scores(const Tensor& x, const Context& ctx) const;
  uint64_t stream(const char* what, const Context& ctx) const;
  Tensor choose(const Tensor& logits, const Tensor& probability, const Context& ctx) const;
  Tensor combine_weight(const Tensor& probability, const Tensor& choice) const;
  // Rank 1 of `choice` where it is used, -1 where it is not.
  Tensor without_idle_second(const Tensor& choice, const Tensor& probability,
                             const Context& ctx) const;
  Tensor uniform(const char* what, const Context& ctx, int64_t width) const;
  CapacityGroups groups(const Context& ctx) const;
  double slot_share(double rows, double each) const;

  bool one_;     // one expert: slots by sequence
  Tensor load_;  // float32 [E + O], of this step
  Tensor rows_;  // float32 []
};

}  // namespace pointwork
