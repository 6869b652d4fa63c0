#pragma once
// routed(route, body): chosen rows enter the body, the others go round it.

#include "pointwork/nn/branch.h"
#include "pointwork/nn/norm.h"
#include "pointwork/route/router.h"

namespace pointwork {

// x + Σ w · Block_e(x) over the slots of each row, and x for rows without any. With expert choice
// and one expert this is Mixture-of-Depths eq. (1), x + r · (Block(x) − x), as the body returns its
// delta Block(x) − x. The body attends among the chosen rows alone, at their original positions.
class Routed : public Branch {
 public:
  // `norm`: the norm outside, whose rows router and body read; null: they read the stream.
  Routed(const RouterOptions& options, const RouteConfig& config, BranchPtr body,
         std::shared_ptr<Norm> norm = nullptr);
  using Branch::add_to;
  using Branch::forward;
  Output forward(const Tensor& x, const State& state, Context& ctx) override;
  Output add_to(const Tensor& x, const State& state, Context& ctx) override;
  int64_t routers() const override { return 1; }
  double kept_bytes(const Extent& extent, double element) const override;
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override;
  int64_t number_sites(int64_t first) override;
  double cached_values_per_token(int64_t step) const override;

  std::shared_ptr<Norm> norm;
  std::shared_ptr<Router> router;
  BranchPtr body;

 private:
  Output run(const Tensor& x, const State& state, Context& ctx, bool add);

  double width_;  // D
};

}  // namespace pointwork
