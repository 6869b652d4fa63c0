#include "pointwork/route/one_expert.h"

#include "pointwork/ops/choose.h"
#include "pointwork/route/choice.h"

namespace pointwork {

Route choose_one_expert(const TokenChoiceConfig& config, const Tensor& choice, const Tensor& weight,
                        const Context& ctx, const CapacityGroups& groups) {
  const Rows& rows = ctx.rows;
  const Tensor takes = choice.eq(0);
  const Tensor enters = takes.any(1);
  const Tensor own = weight.masked_fill(takes.logical_not(), 0).sum(1);
  Route route;
  if (ctx.routing == Routing::inference) {
    route = choose_above_zero(enters.to(torch::kFloat32), rows);
  } else {
    const int64_t each = groups.capacity > 0 ? groups.capacity : rows.each;
    // Any score that falls from row to row keeps who comes first.
    const Tensor order = config.priority == CapacityPriority::probability
                             ? own.detach()
                             : -torch::arange(rows.each, own.options()).repeat({rows.sequences()});
    route = route_of_rows(
        top_rows("token choice", order, rows.sequences(), enters, /*wanted=*/{}, each), rows, each);
  }
  route.choice = choice;
  route.weight = own.index_select(0, route.token.clamp_min(0).to(torch::kInt64));
  route.group = rows.each;
  route.shape.noop = config.num_noop;
  route.shape.top_k = config.top_k;
  return route;
}

}  // namespace pointwork
