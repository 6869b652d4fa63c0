#pragma once
// Mixture-of-Modules, row by row in float64: attention whose weights are of experts. Included by
// reference.h.

#include "tests/nn/reference.h"
#include "tests/nn/reference_experts.h"

namespace pointwork::test::slow {

// q, k, v = sums over a row's experts of what each makes of the row by its own norm, one attention
// over all rows (or over those that took an expert), and the weighted sum of their outputs.
inline Stream modules_delta(const AttentionConfig& c, const ModelConfig& model,
                            const pointwork::Attention& a, const Stream& x, const Places& at,
                            const Pass& pass, int64_t round) {
  const ProjectionRouteConfig& route = *c.projection_route;
  const auto& router = dynamic_cast<const TokenRouter&>(*a.router);
  std::vector<RowChoice> rows = choices_of(route, router, x, at, pass, round);
  const auto own = [](const Tensor& all, int64_t e) { return all.defined() ? all[e] : all; };
  const auto each = [&](size_t t, const auto& visit) {
    for (size_t rank = 0; rank < rows[t].expert.size(); ++rank) {
      const int64_t e = rows[t].expert[rank];
      if (e >= 0 && e < route.num_experts && rows[t].kept[rank]) visit(e, rows[t].weight[rank]);
    }
  };
  Stream projected, out;
  std::vector<bool> takes;
  for (size_t t = 0; t < x.size(); ++t) {
    Tensor sum = torch::zeros({a.qkv.size(1)}, torch::kFloat64);
    bool some = false;
    each(t, [&](int64_t e, const Tensor& w) {
      const Tensor row = normed(x[t], a.norm->weight[e], own(a.norm->bias, e),
                                model.norm == NormKind::layernorm, model.norm_eps);
      const Tensor p = affine(a.qkv[e], row, own(a.qkv_bias, e));
      sum = sum + (route.weighted_qkv ? w * p : p);
      some = true;
    });
    projected.push_back(sum);
    takes.push_back(some || route.noop_key_value == NoopKeyValue::zero);
  }
  const Stream mixed = mixed_rows(a, c, model, projected, at, takes);
  for (size_t t = 0; t < x.size(); ++t) {
    Tensor sum = torch::zeros_like(x[t]);
    each(t, [&](int64_t e, const Tensor& w) {
      sum = sum + w * affine(a.output[e], mixed[t], own(a.output_bias, e));
    });
    out.push_back(sum);
  }
  return out;
}

}  // namespace pointwork::test::slow
