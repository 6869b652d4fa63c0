#include "pointwork/nn/attention.h"

#include <cmath>
#include <numeric>

#include "pointwork/base/check.h"
#include "pointwork/nn/attend.h"
#include "pointwork/nn/kv_cache.h"
#include "pointwork/nn/rope_scaling.h"
#include "pointwork/ops/grouped.h"
#include "pointwork/ops/linear.h"
#include "pointwork/ops/norm.h"
#include "pointwork/ops/rope.h"
#include "pointwork/ops/rows.h"
#include "pointwork/route/one_expert.h"

namespace pointwork {
namespace {

constexpr double kSlotBytes = 24;  // numbers of rows and slots

}  // namespace

Attention::Attention(const ModelConfig& model, const AttentionConfig& config,
                     const AttentionOptions& options)
    : heads_(config.num_attention_heads),
      key_value_heads_(config.num_key_value_heads > 0 ? config.num_key_value_heads : heads_),
      head_dim_(config.head_dim > 0 ? config.head_dim : model.hidden_size / heads_),
      frequency_(rope_frequencies(config, head_dim_)),
      eps_(model.norm_eps),
      qk_norm_(config.qk_norm) {
  const int64_t d = model.hidden_size;
  const int64_t projected = (heads_ + 2 * key_value_heads_) * head_dim_;
  scale_ = config.scale > 0 ? config.scale : 1 / std::sqrt(static_cast<double>(head_dim_));
  int64_t experts = 0;
  if (config.projection_route) {
    const ProjectionRouteConfig& route = *config.projection_route;
    experts = route.num_experts;
    masked_ = route.noop_key_value == NoopKeyValue::masked;
    weighted_qkv_ = route.weighted_qkv;
    all_take_ = route.dropless && route.top_k > route.num_noop;
    router = register_module("router", make_router({.name = options.name,
                                                    .size = d,
                                                    .attends = false,
                                                    .projections = true,
                                                    .rounds = options.rounds},
                                                   route));
  }
  const auto shape = [&](std::vector<int64_t> one) {
    if (experts > 0) one.insert(one.begin(), experts);
    return one;
  };
  if (options.norm) norm = register_module("norm", std::make_shared<Norm>(d, model, experts));
  qkv = register_parameter("qkv", torch::empty(shape({projected, d})));
  if (config.qkv_bias) qkv_bias = register_parameter("qkv_bias", torch::zeros(shape({projected})));
  if (qk_norm_ != QkNorm::none) {
    const bool whole = qk_norm_ == QkNorm::projection;
    query_norm = register_parameter("query_norm", torch::ones({head_dim_ * (whole ? heads_ : 1)}));
    key_norm =
        register_parameter("key_norm", torch::ones({head_dim_ * (whole ? key_value_heads_ : 1)}));
  }
  output = register_parameter("output", torch::empty(shape({d, heads_ * head_dim_})));
  if (config.output_bias) output_bias = register_parameter("output_bias", torch::zeros(shape({d})));
  if (config.output_norm) {
    output_norm = register_module("output_norm", std::make_shared<Norm>(d, model));
  }
}

Tensor Attention::normalise(const Tensor& x, const Tensor& weight) const {
  if (qk_norm_ == QkNorm::none) return x;
  if (qk_norm_ == QkNorm::head) return rms_norm(x, weight, eps_);
  return rms_norm(x.flatten(1), weight, eps_).view_as(x);
}

// `asking`: the rows whose queries are wanted, of a pass with a cache; undefined: all.
Tensor Attention::mix(const Tensor& projected, const Rows& rows, const Context& ctx,
                      const Tensor& asking) const {
  const auto split = projected.view({projected.size(0), heads_ + 2 * key_value_heads_, head_dim_})
                         .split({heads_, key_value_heads_, key_value_heads_}, 1);
  Tensor query = split[0], position = rows.position;
  if (asking.defined()) {
    query = query.index_select(0, asking);
    position = position.index_select(0, asking);
  }
  query = normalise(query, query_norm);
  Tensor key = normalise(split[1], key_norm);
  if (!frequency_.empty()) {
    query = rotate(query, position, frequency_);
    key = rotate(key, rows.position, frequency_);
  }
  const Tensor mixed = ctx.cache ? ctx.cache->attend(site_ + ctx.site_offset, query, key, split[2],
                                                     rows, scale_, asking)
                                 : attend(query, key, split[2], rows, scale_);
  return mixed.flatten(1);
}

Output Attention::forward(const Tensor& x, const State& state, Context& ctx) {
  if (router) return routed(x, state, ctx, /*add=*/false);
  const Tensor mixed = mix(project(norm ? norm->forward(x) : x, qkv, qkv_bias), ctx.rows, ctx, {});
  Tensor delta = project(mixed, output, output_bias);
  return {output_norm ? output_norm->forward(delta) : delta, {}, {}};
}

Output Attention::add_to(const Tensor& x, const State& state, Context& ctx) {
  if (router) return routed(x, state, ctx, /*add=*/true);
  if (output_norm) return Branch::add_to(x, state, ctx);
  const Tensor mixed = mix(project(norm ? norm->forward(x) : x, qkv, qkv_bias), ctx.rows, ctx, {});
  return {project_add(x, mixed, output, output_bias), {}, {}};
}

// One attention of those who take an expert, or of all.
Tensor Attention::attend_chosen(const Tensor& projected, Route& route, Context& ctx) const {
  const bool causal = ctx.routing == Routing::inference;
  // Rows of no expert have nothing to ask; without a cache the others are not worth gathering.
  const bool some = !all_take_ && (masked_ || (causal && ctx.cache));
  if (!some) return mix(projected, ctx.rows, ctx, {});
  const Tensor takes = route.row_offset.slice(0, 1).gt(route.row_offset.slice(0, 0, -1));
  const Tensor choice = takes.to(torch::kInt32).sub(1).unsqueeze(1);
  const Route inside = choose_one_expert(
      {}, choice, torch::ones(choice.sizes(), choice.options().dtype(torch::kFloat32)), ctx, {});
  route.attending = inside.token;
  const RowIndex index{inside.token, inside.row_offset, inside.row_slot};
  if (!masked_) {
    const Tensor mixed = mix(projected, ctx.rows, ctx, inside.token);
    return combine({}, mixed, {}, index);
  }
  if (causal && inside.token.size(0) == 0)
    return torch::zeros({projected.size(0), heads_ * head_dim_}, projected.options());
  const Rows rows = gather_rows_of(ctx.rows, inside.token, inside.shape.each);
  return combine({}, mix(dispatch(projected, index), rows, ctx, {}), {}, index);
}

Output Attention::routed(const Tensor& x, const State& state, Context& ctx, bool add) {
  RouterState own = state.empty() ? RouterState{} : state.front();
  Route route = router->forward(x, own, ctx);
  route.projections = true;
  route.masked = masked_;
  const RowIndex index{route.token, route.row_offset, route.row_slot};
  // No row takes an expert: no weight is read, though keys and values of 0 have their place.
  const bool none = ctx.routing == Routing::inference && route.row_slot.size(0) == 0;
  Tensor projected;
  if (none) {
    projected = torch::zeros({x.size(0), qkv.size(1)}, x.options());
  } else {
    const Tensor slots = norm->scale(dispatch(norm->even(x), index), route.offset);
    projected = combine({}, grouped_project(slots, qkv, route.offset, qkv_bias),
                        weighted_qkv_ ? route.weight : Tensor(), index);
  }
  const Tensor mixed = attend_chosen(projected, route, ctx);
  Output out;
  if (none) {
    out.delta = add ? x : torch::zeros_like(x);
  } else {
    const Tensor made = grouped_project(dispatch(mixed, index), output, route.offset, output_bias);
    out.delta = combine(add ? x : Tensor(), made, route.weight, index);
  }
  out.routes.push_back(std::move(route));
  out.state.push_back(std::move(own));
  return out;
}

// Whose queries, keys and values are computed.
Extent Attention::attending(const Extent& extent) const {
  Extent inner = extent;
  const bool all =
      extent.kind == FlopKind::bound || (!masked_ && extent.routing == Routing::training);
  if (!router || all_take_ || all) return inner;
  const double share = router->taking(extent.step);
  for (double& n : inner.rows) n *= share;
  if (masked_)
    for (double& n : inner.past) n *= share;
  return inner;
}

// The normalised row, the projection, its normed and rotated copies, what attention gives with its
// row sums, and the new stream. Of experts the even slots, their scales and the scaled ones instead
// of a normalised row, what enters and what leaves the output's product.
double Attention::kept_bytes(const Extent& extent, double element) const {
  const double size = static_cast<double>(output.size(-2));
  const double queries = static_cast<double>(heads_ * head_dim_),
               keys = static_cast<double>(key_value_heads_ * head_dim_);
  double values = (norm && !router ? 2 : 1) * size + 2 * queries + 2 * keys;
  if (qk_norm_ != QkNorm::none) values += queries + keys;
  if (!frequency_.empty()) values += queries + keys;
  if (output_norm) values += size;
  double bytes = extent.total() * (values * element + 4 * static_cast<double>(heads_) + 8);
  if (router) {
    const double slot = 4 * size + queries + (weighted_qkv_ ? queries + 2 * keys : 0);
    bytes += router->slots(extent).total() * (slot * element + kSlotBytes);
    bytes += extent.total() * router->kept_bytes_per_row(extent.step, element);
  }
  return bytes;
}

void Attention::flops(Extent& extent, const std::string& name, FlopParts& parts) const {
  double rest = parameter_count(*this);
  const double experts = router ? static_cast<double>(router->config().num_experts) : 1;
  Extent slots = extent;
  double pairs = attending(extent).pairs(), masked = attending(extent).masked_pairs();
  if (router) {
    router->flops(extent, name + ".router", parts);
    rest -= parameter_count(*router);
    if (extent.entered) {
      check(*extent.next_entered < extent.entered->size(), "[", name,
            "] has no measured route left to count");
      const Entered& own = (*extent.entered)[(*extent.next_entered)++];
      slots.rows = own.rows;
      pairs = std::accumulate(own.pairs.begin(), own.pairs.end(), 0.0);
    } else {
      slots = router->inside(extent);
      // Queries of some, keys of all.
      if (!masked_ && !all_take_ && extent.kind == FlopKind::expected &&
          extent.routing == Routing::inference)
        pairs = router->taking(extent.step) * extent.pairs();
    }
  }
  const auto part = [&](const std::string& what, const Tensor& weight, const Tensor& bias) {
    const double size = static_cast<double>(weight.numel());
    const double all = size + (bias.defined() ? static_cast<double>(bias.numel()) : 0);
    parts.push_back({name + "." + what, 2 * size / experts * slots.total(), all,
                     all / experts * slots.share()});
    rest -= all;
  };
  part("qkv", qkv, qkv_bias);
  // Scores and their product with the values, per query head.
  const double each = 4.0 * static_cast<double>(heads_ * head_dim_);
  parts.push_back({name + ".pairs", each * pairs, 0, 0, each * masked});
  part("output", output, output_bias);
  parts.push_back({name + ".norms", 0, rest, rest / experts * slots.share()});
}

int64_t Attention::number_sites(int64_t first) {
  site_ = first;
  return first + 1;
}

double Attention::cached_values_per_token(int64_t step) const {
  const double share = router && masked_ && !all_take_ ? router->taking(step) : 1;
  return share * 2.0 * static_cast<double>(key_value_heads_ * head_dim_);
}

}  // namespace pointwork
