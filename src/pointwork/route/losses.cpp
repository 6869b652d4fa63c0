#include "pointwork/route/losses.h"

namespace pointwork {

Tensor chosen_rows(const Route& route) {
  const Tensor& offset = route.row_offset;
  return offset.slice(0, 1).gt(offset.slice(0, 0, -1));
}

Tensor chosen_pairs(const Route& route) {
  const int64_t experts = route.shape.experts;
  if (experts == 1) return chosen_rows(route);
  // Slot by slot: the pair (row, expert), empty ones beyond the last.
  const Tensor slot = torch::arange(route.token.size(0), route.token.options());
  const Tensor expert =
      at::searchsorted(route.offset.slice(0, 1), slot, /*out_int32=*/false, /*right=*/true);
  const Tensor pair = (route.token.to(torch::kInt64) * experts + expert)
                          .masked_fill(route.token.lt(0), route.shape.rows * experts);
  const Tensor chosen =
      torch::zeros({route.shape.rows * experts + 1}, route.token.options().dtype(torch::kBool));
  return chosen.index_fill(0, pair, true).slice(0, 0, -1).view({route.shape.rows, experts});
}

Tensor decision_loss(const Route& route) {
  const Tensor target = chosen_pairs(route).to(route.decision.scalar_type());
  if (!route.valid.defined()) return at::binary_cross_entropy_with_logits(route.decision, target);
  Tensor valid = route.valid.to(target.scalar_type());
  if (target.dim() == 2) valid = valid.unsqueeze(1).expand_as(target);
  const Tensor loss =
      at::binary_cross_entropy_with_logits(route.decision, target, {}, {}, at::Reduction::None);
  return (loss * valid).sum() / valid.sum().clamp_min(1);
}

}  // namespace pointwork
