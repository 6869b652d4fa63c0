#include "pointwork/nn/routed.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/ops/rows.h"

namespace pointwork {
namespace {

// The rows of the slots.
Rows rows_inside(const Rows& rows, const Route& route) {
  if (route.whole) return rows;
  if (!route.offset.defined()) return gather_rows_of(rows, route.token, route.shape.each);
  Rows inner = gather_expert_rows(rows, route.token);
  inner.expert_offset = route.offset;
  return inner;
}

// What rows get without any slot.
Tensor base_of(const Tensor& x, const Tensor& read, const Route& route, bool add) {
  if (!route.copy_weight.defined()) return add ? x : Tensor();
  const Tensor copies = (read * route.copy_weight.unsqueeze(1)).to(x.scalar_type());
  return add ? x + copies : copies;
}

}  // namespace

Routed::Routed(const RouterOptions& options, const RouteConfig& config, BranchPtr inner,
               std::shared_ptr<Norm> outside)
    : norm(std::move(outside)),
      router(register_module("router", make_router(options, config))),
      body(register_module("body", std::move(inner))),
      width_(static_cast<double>(options.size)) {
  if (norm) register_module("norm", norm);
}

Output Routed::run(const Tensor& x, const State& state, Context& ctx, bool add) {
  const Tensor read = norm ? norm->forward(x) : x;
  RouterState own = state.empty() ? RouterState{} : state.front();
  Route route = router->forward(read, own, ctx);
  const Tensor base = base_of(x, read, route, add);
  Output out;
  if (route.token.size(0) == 0) {
    // No row takes the block: its weights are not read at all.
    out.delta = base.defined() ? base : torch::zeros_like(x);
  } else {
    const RowIndex index{route.token, route.row_offset, route.row_slot};
    const Tensor slots = route.whole ? read : dispatch(read, index);
    Context inner = ctx.with(rows_inside(ctx.rows, route));
    out = body->forward(slots, inner);
    out.delta = combine(base, out.delta, route.weight, index);
  }
  out.routes.insert(out.routes.begin(), std::move(route));
  out.state = {std::move(own)};  // the body's rows are others in the next round
  return out;
}

Output Routed::forward(const Tensor& x, const State& state, Context& ctx) {
  return run(x, state, ctx, false);
}

Output Routed::add_to(const Tensor& x, const State& state, Context& ctx) {
  return run(x, state, ctx, true);
}

void Routed::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  if (norm) {
    const double size = parameter_count(*norm);
    parts.push_back({name + ".norm", 0, size, size * extent.share()});
  }
  router->flops(extent, name + ".router", parts);
  Extent inner = extent;
  if (extent.entered) {
    check(*extent.next_entered < extent.entered->size(), "[", name,
          "] has no measured route left to count");
    inner.rows = (*extent.entered)[(*extent.next_entered)++].rows;
    if (inner.total() == 0) inner.entered = nullptr;  // a body that did not run made no routes
  } else {
    inner = router->inside(extent);
  }
  body->flops(inner, name + ".body", parts);
}

// The normalised row, the gathered rows, the body's, the new stream; and what the router keeps.
double Routed::kept_bytes(const Extent& extent, double element) const {
  const Extent inner = router->slots(extent);
  const double width = width_;
  return body->kept_bytes(inner, element) + inner.total() * width * element +
         extent.total() *
             ((norm ? 2 : 1) * width * element + router->kept_bytes_per_row(extent.step, element));
}

int64_t Routed::number_sites(int64_t first) { return body->number_sites(first); }

double Routed::cached_values_per_token(int64_t step) const {
  return router->share(step) * body->cached_values_per_token(step);
}

}  // namespace pointwork
