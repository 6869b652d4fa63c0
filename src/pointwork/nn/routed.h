#pragma once
// routed(route, body): chosen rows enter the body, the others go round it.

#include "pointwork/nn/branch.h"
#include "pointwork/route/router.h"

namespace pointwork {

// x + r · (Block(x) − x) for chosen rows and x for the others: Mixture-of-Depths eq. (1), with f =
// Block(x) − x, the body's delta. The body attends among the chosen rows alone, at their original
// positions.
class Routed : public Branch {
 public:
  Routed(std::string name, int64_t size, const RouteConfig& config, BranchPtr body);
  Output forward(const Tensor& x, Context& ctx) override;
  Output add_to(const Tensor& x, Context& ctx) override;
  double kept_bytes(const Extent& extent, double element) const override;
  void flops(Extent& extent, const std::string& name, FlopParts& parts) const override;
  int64_t number_sites(int64_t first) override;
  double cached_values_per_token(int64_t step) const override;

  std::shared_ptr<Router> router;
  BranchPtr body;

 private:
  Output run(const Tensor& x, Context& ctx, bool add);

  double width_;  // D
};

}  // namespace pointwork
