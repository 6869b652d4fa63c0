#include "pointwork/route/losses.h"

namespace pointwork {

Tensor chosen_rows(const Route& route) {
  const Tensor& offset = route.row_offset;
  return offset.slice(0, 1).gt(offset.slice(0, 0, -1));
}

Tensor decision_loss(const Route& route) {
  const Tensor target = chosen_rows(route).to(route.decision.scalar_type());
  if (!route.valid.defined()) return at::binary_cross_entropy_with_logits(route.decision, target);
  const Tensor valid = route.valid.to(target.scalar_type());
  const Tensor loss =
      at::binary_cross_entropy_with_logits(route.decision, target, {}, {}, at::Reduction::None);
  return (loss * valid).sum() / valid.sum().clamp_min(1);
}

}  // namespace pointwork
