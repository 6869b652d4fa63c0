#include "pointwork/nn/routed.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/ops/rows.h"
#include "pointwork/route/choice.h"

namespace pointwork {

Routed::Routed(std::string name, int64_t size, const RouteConfig& config, BranchPtr inner)
    : router(register_module("router", std::make_shared<Router>(std::move(name), size, config))),
      body(register_module("body", std::move(inner))),
      width_(static_cast<double>(size)) {}

Output Routed::run(const Tensor& x, Context& ctx, bool add) {
  Route route = router->forward(x, ctx);
  const Tensor base = add ? x : Tensor();
  Output out;
  if (route.token.size(0) == 0) {
    // No row takes the block: its weights are not read at all.
    out.delta = add ? x : torch::zeros_like(x);
  } else {
    const RowIndex index{route.token, route.row_offset, route.row_slot};
    const bool all = route.capacity >= 1;
    const Tensor slots = all ? x : dispatch(x, index);
    Context inner =
        ctx.with(all ? ctx.rows : gather_rows_of(ctx.rows, route.token, route.shape.each));
    out = body->forward(slots, inner);
    out.delta = combine(base, out.delta, route.weight, index);
  }
  out.routes.insert(out.routes.begin(), std::move(route));
  return out;
}

Output Routed::forward(const Tensor& x, Context& ctx) { return run(x, ctx, false); }

Output Routed::add_to(const Tensor& x, Context& ctx) { return run(x, ctx, true); }

void Routed::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  const double capacity = router->capacity(extent.step);
  const auto part = [&](const std::string& what, double weights, double all, double share) {
    parts.push_back({name + "." + what, 2 * weights * share * extent.total(), all,
                     all * share * extent.share()});
  };
  if (router->weight.defined()) {
    const auto size = static_cast<double>(router->weight.numel());
    part("router", size, size, 1);
  }
  if (router->predictor) {
    const Predictor& p = *router->predictor;
    const auto weights = static_cast<double>(p.hidden.numel() + p.output.numel());
    // Where every row enters nobody asks it.
    part("router.predictor", weights, weights + static_cast<double>(p.hidden_bias.numel() + 1),
         capacity < 1 ? 1 : 0);
  }

  Extent inner = extent;
  if (extent.entered) {
    check(*extent.next_entered < extent.entered->size(), "[", name,
          "] has no measured route left to count");
    inner.rows = (*extent.entered)[(*extent.next_entered)++];
    if (inner.total() == 0) inner.entered = nullptr;  // a body that did not run made no routes
  } else if (capacity < 1) {
    for (double& n : inner.rows) {
      if (extent.routing == Routing::training) {
        n = static_cast<double>(slots_of(capacity, static_cast<int64_t>(n)));
      } else if (extent.kind == FlopKind::expected) {
        n *= capacity;
      }
    }
    if (extent.kind == FlopKind::expected || extent.routing == Routing::training) {
      for (double& n : inner.past) n *= capacity;
    }
  }
  body->flops(inner, name + ".body", parts);
}

// The gathered rows, the body's, the new stream; score, and the predictor's hidden row on both
// sides of its activation. What a score is a product of is float32: in bfloat16 a copy.
double Routed::kept_bytes(const Extent& extent, double element) const {
  const double capacity = router->capacity(extent.step);
  Extent inner = extent;
  for (double& n : inner.rows) n = static_cast<double>(slots_of(capacity, static_cast<int64_t>(n)));
  const double width = width_;
  const double wide = std::max(element, 4.0);
  const double copy = router->weight.defined() && element < 4 ? width * wide : 0;
  const double predictor =
      router->predictor && capacity < 1
          ? static_cast<double>(router->predictor->hidden.size(0)) * (element + wide)
          : 0;
  return body->kept_bytes(inner, element) + inner.total() * width * element +
         extent.total() * (width * element + copy + predictor + 16);
}

int64_t Routed::number_sites(int64_t first) { return body->number_sites(first); }

double Routed::cached_values_per_token(int64_t step) const {
  return router->capacity(step) * body->cached_values_per_token(step);
}

}  // namespace pointwork
