#include "pointwork/route/token_router.h"

#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/ops/norm.h"
#include "pointwork/ops/random.h"
#include "pointwork/ops/router_scores.h"
#include "pointwork/route/balance.h"
#include "pointwork/route/one_expert.h"

namespace pointwork {
namespace {

Tensor gathered(const Tensor& table, const Tensor& choice) {
  return table.gather(1, choice.clamp_min(0).to(torch::kInt64)).masked_fill(choice.lt(0), 0);
}

FeatureOptions::Kind kind_of(RouterKind kind) {
  switch (kind) {
    case RouterKind::mlp:
      return FeatureOptions::Kind::mlp;
    case RouterKind::gru:
      return FeatureOptions::Kind::gru;
    default:
      return FeatureOptions::Kind::linear;
  }
}

constexpr double kInputEps = 1e-6;

}  // namespace

TokenRouter::TokenRouter(const RouterOptions& options, const RouteConfig& config)
    : Router(options.name, config),
      one_(config.num_experts == 1 && !options.projections),
      rounds_(options.rounds),
      width_(static_cast<double>(options.size)) {
  check(one_ || !options.attends, "[", name_,
        "] a branch with attention in it must have one expert but has ", config.num_experts);
  features = make_features({kind_of(config.router), config.router_size, config.router_projection},
                           options.size);
  const int64_t choices = config.choices();
  if (features) {
    register_module("features", features);
    output_bias = register_parameter("output_bias", torch::zeros({choices}));
  }
  weight = register_parameter("weight",
                              torch::empty({choices, features ? features->size() : options.size}));
  if (config.round_embedding)
    round_embedding = register_parameter("round_embedding", torch::empty({rounds_, options.size}));
  if (config.round_bias)
    round_bias = register_parameter("round_bias", torch::zeros({rounds_, choices}));
  if (config.balance.bias_rate > 0 || config.target_active > 0)
    bias = register_buffer("bias", torch::zeros({choices}));
}

RouteConfig TokenRouter::at(int64_t step) const {
  RouteConfig now = config_;
  now.top_k = config_.top_k_at(step);
  return now;
}

uint64_t TokenRouter::stream(const char* what, const Context& ctx) const {
  return stream_key(ctx.seed, concat(what, "/", name_, "#", ctx.round, "@", ctx.step));
}

// Uniform in (0, 1), new in every step and round.
Tensor TokenRouter::uniform(const char* what, const Context& ctx, int64_t width) const {
  return random_rows(stream(what, ctx), ctx.rows.position, ctx.rows.sequence, ctx.rows.key, width);
}

// For the router's copy: the experts read the row as it is.
InputNoise TokenRouter::noise(const Context& ctx) const {
  const bool jitter = config_.exploration == Exploration::jitter;
  if (!ctx.training || (!jitter && config_.exploration != Exploration::dropout)) return {};
  return {jitter ? InputNoise::Kind::jitter : InputNoise::Kind::dropout,
          config_.exploration_amount,
          stream("input", ctx),
          ctx.rows.position,
          ctx.rows.sequence,
          ctx.rows.key};
}

Tensor TokenRouter::linear_scores(const Tensor& x, const Tensor& extra,
                                  const InputNoise& noise) const {
  const Tensor add = extra.defined() ? (weight * extra).sum(1) : Tensor();
  if (config_.router_dtype == RouterDtype::float32) return router_product(x, weight, add, noise);
  // Rounded on the way in and out.
  const auto half = [](const Tensor& t) { return t.to(torch::kBFloat16).to(torch::kFloat32); };
  return half(router_product(half(x), half(weight), add, noise));
}

Tensor TokenRouter::scores(const Tensor& x, RouterState& state, const Context& ctx) const {
  const int64_t round = round_of(ctx.round);
  Tensor read = x;
  if (config_.router_input == RouterInput::normalised)
    read = rms_norm(x, torch::ones({x.size(1)}, x.options()), kInputEps);
  const Tensor extra = round_embedding.defined() ? round_embedding[round] : Tensor();
  Tensor logits;
  if (features) {
    const Tensor f =
        features->forward({.x = read, .hidden = state.hidden, .extra = extra, .noise = noise(ctx)});
    if (features->carries()) state.hidden = f;
    logits = router_product(f, weight, output_bias);
  } else {
    logits = linear_scores(read, extra, noise(ctx));
  }
  if (round_bias.defined()) logits = logits + round_bias[round];
  return config_.temperature == 1 ? logits : logits / config_.temperature;
}

// The preserving start of two-phase training: round h takes expert h until the bias has fallen.
Tensor TokenRouter::in_order(const Tensor& ranked, const Context& ctx) const {
  if (ctx.step >= config_.in_order_steps) return ranked;
  const double left =
      1 - static_cast<double>(ctx.step) / static_cast<double>(config_.in_order_steps);
  const int64_t first = std::min(round_of(ctx.round), config_.num_experts);
  Tensor favoured = ranked.clone();
  favoured.select(1, first).add_(left * config_.in_order_bias);
  return favoured;
}

Tensor TokenRouter::choose(const Tensor& logits, const Tensor& probability,
                           const RouterState& state, const Context& ctx) const {
  Tensor ranked = logits.detach();  // scores rise with them, and never round to the same
  if (bias.defined()) ranked = probability.detach() + bias;
  const bool sample = ctx.training && config_.exploration == Exploration::sample;
  if (sample) ranked = (bias.defined() ? ranked.clamp_min(1e-30) : probability.detach()).log();
  ranked = in_order(ranked, ctx);
  // Gumbel: the highest of log p + g is drawn with probability p.
  if (sample) ranked = ranked - uniform("sample", ctx, ranked.size(1)).log().neg().log();
  const Tensor choice = top_choices(ranked, config_.top_k_at(ctx.step), ctx.rows.valid);
  if (!config_.absorbing || !state.exited.defined()) return choice;
  const auto out = static_cast<int32_t>(config_.num_experts);
  return choice.masked_fill(state.exited.unsqueeze(1).logical_and(choice.ge(0)), out);
}

Tensor TokenRouter::without_idle_second(const Tensor& choice, const Tensor& probability,
                                        const Context& ctx) const {
  const Tensor p = gathered(probability.detach(), choice);
  const Tensor share = p.select(1, 1) / p.sum(1);
  Tensor used;
  if (config_.second_choice == SecondChoice::threshold) {
    used = share.gt(config_.second_threshold);
  } else {
    if (!ctx.training) return choice;
    used = uniform("second", ctx, 1).squeeze(1).lt(share / config_.second_threshold);
  }
  const Tensor idle = torch::stack({torch::zeros_like(used), used.logical_not()}, 1);
  return choice.masked_fill(idle, -1);
}

// float32 [T, k], 0 where there is no choice.
Tensor TokenRouter::combine_weight(const Tensor& probability, const Tensor& choice) const {
  const Tensor p = gathered(probability, choice);
  const Tensor chosen = choice.ge(0);
  Tensor weight;
  switch (config_.weight) {
    case RouterWeight::raw:
      weight = p;
      break;
    case RouterWeight::renormalised:
      weight = p / p.sum(1, /*keepdim=*/true).clamp_min(1e-20);
      break;
    case RouterWeight::ste:
      weight = (1 + p - p.detach()).masked_fill(chosen.logical_not(), 0);
      break;
    case RouterWeight::none:
      weight = chosen.to(p.scalar_type());
      break;
    default:
      fail("[", name_, "] a weight of expert choice");
  }
  return config_.routed_scaling_factor == 1 ? weight : weight * config_.routed_scaling_factor;
}

CapacityGroups TokenRouter::groups(const Context& ctx) const {
  if (ctx.routing == Routing::inference || config_.dropless)
    return {.rows = one_ ? ctx.rows.each : config_.group_size, .capacity = 0};
  return capacity_groups(name_, at(ctx.step),
                         ctx.training ? config_.capacity_factor : config_.eval_capacity_factor,
                         ctx.rows);
}

Route TokenRouter::forward(const Tensor& x, RouterState& state, Context& ctx) {
  const Tensor logits = scores(x, state, ctx);
  Tensor probability = config_.score == RouterScore::softmax ? logits.softmax(1) : logits.sigmoid();
  if (config_.router_dtype == RouterDtype::bfloat16)
    probability = probability.to(torch::kBFloat16).to(torch::kFloat32);
  Tensor choice = choose(logits, probability, state, ctx);
  if (config_.second_choice != SecondChoice::all)
    choice = without_idle_second(choice, probability, ctx);
  if (config_.absorbing) state.exited = choice.select(1, 0).ge(config_.num_experts);
  const Tensor weights = combine_weight(probability, choice);

  const CapacityGroups limits = groups(ctx);
  const RouteConfig now = at(ctx.step);
  Route route = one_ ? choose_one_expert(now, choice, weights, ctx, limits)
                     : choose_experts(now, choice, weights, ctx.rows, limits);
  route.name = name_;
  route.logits = logits;
  route.probability = probability;
  route.capacity = share(ctx.step);
  route.round = ctx.round;
  if (config_.num_noop > 0 && config_.noop == NoopKind::copy)
    route.copy_weight = weights.masked_fill(choice.lt(config_.num_experts), 0).sum(1);
  if (ctx.training && bias.defined()) {
    const torch::NoGradGuard no_grad;
    const Tensor load = count_choices(route).chosen.to(torch::kFloat32);
    const Tensor rows = route.choice.select(1, 0).ge(0).sum().to(torch::kFloat32);
    load_ = load_.defined() ? load_ + load : load;
    rows_ = rows_.defined() ? rows_ + rows : rows;
  }
  return route;
}

Tensor TokenRouter::loss(const Route& route) const {
  const BalanceConfig& b = config_.balance;
  Tensor probability = route.probability;
  if (config_.score == RouterScore::sigmoid)
    probability = probability / probability.sum(1, /*keepdim=*/true);
  const int64_t over = b.over == BalanceOver::choices ? config_.choices() : config_.num_experts;
  Tensor sum;
  const auto add = [&](double weight, const auto& loss) {
    if (weight <= 0) return;
    const Tensor term = weight * loss();
    sum = sum.defined() ? sum + term : term;
  };
  add(b.loss_weight,
      [&] { return balance_loss(probability, route.choice, over, route.group, route.valid); });
  add(b.sequence_loss_weight, [&] {
    return balance_loss(probability, route.choice, over, route.shape.rows / route.sequences,
                        route.valid);
  });
  add(b.z_loss_weight, [&] { return router_z_loss(route.logits, route.valid); });
  return sum;
}

void TokenRouter::end_step() {
  if (!load_.defined()) return;
  const torch::NoGradGuard no_grad;
  const int64_t experts = config_.num_experts, choices = config_.choices();
  const BalanceConfig& b = config_.balance;
  if (b.bias_rate > 0) {
    // With a target the no-ops are its controller's.
    const bool all = b.over == BalanceOver::choices && config_.target_active == 0;
    const Tensor load = load_.slice(0, 0, all ? choices : experts);
    bias.slice(0, 0, load.size(0)).add_((load.mean() - load).sign() * b.bias_rate);
  }
  if (config_.target_active > 0) {
    const Tensor active = load_.slice(0, 0, experts).sum() / rows_.clamp_min(1);
    bias.slice(0, experts).add_((active - config_.target_active).sign() * config_.target_rate);
  }
  load_ = Tensor();
  rows_ = Tensor();
}

double TokenRouter::share(int64_t step) const {
  if (config_.target_active > 0) return config_.target_active;
  return static_cast<double>(config_.top_k_at(step) * config_.num_experts) /
         static_cast<double>(config_.choices());
}

double TokenRouter::taking(int64_t step) const {
  return config_.taking_share(config_.top_k_at(step));
}

// Slots a row in training, of the rows of `extent`.
double TokenRouter::slot_share(const Extent& extent) const {
  const RouteConfig now = at(extent.step);
  const auto most = static_cast<double>(std::min(now.top_k, now.num_experts));
  const double rows = extent.total();
  if (now.dropless || rows <= 0) return one_ ? 1 : most;
  const RowCount of{.rows = static_cast<int64_t>(rows),
                    .each = static_cast<int64_t>(extent.rows.front())};
  const CapacityGroups limits = capacity_groups(now, now.capacity_factor, of);
  const double group = static_cast<double>(limits.rows > 0 ? limits.rows : of.rows);
  if (group == 0) return 0;
  const double slots =
      std::ceil(rows / group) * static_cast<double>(now.num_experts * limits.capacity);
  return std::min(slots / rows, one_ ? 1.0 : most);
}

Extent TokenRouter::slots(const Extent& extent) const {
  Extent inner = extent;
  if (extent.rows.empty()) return inner;
  const double share = slot_share(extent);
  for (double& n : inner.rows) n *= share;
  return inner;
}

Extent TokenRouter::inside(const Extent& extent) const {
  Extent inner = extent;
  double taken = static_cast<double>(std::min(config_.top_k_at(extent.step), config_.num_experts));
  if (extent.kind == FlopKind::expected) {
    taken = share(extent.step);
    if (extent.routing == Routing::training && !config_.dropless && !extent.rows.empty())
      taken = std::min(taken, slot_share(extent));
  } else if (extent.routing == Routing::training) {
    return slots(extent);
  }
  for (double& n : inner.rows) n *= taken;
  for (double& n : inner.past) n *= taken;
  return inner;
}

void TokenRouter::flops(const Extent& extent, const std::string& name, FlopParts& parts) const {
  const bool first = round_of(extent.round) == 0;
  double each = 2 * static_cast<double>(weight.numel());
  if (features) each += features->flops_per_row(first);
  const double size = parameter_count(*this);
  parts.push_back({name, each * extent.total(), size, size * extent.share()});
}

// Scores on both sides of the softmax, choices and weights.
double TokenRouter::kept_bytes_per_row(int64_t step, double element) const {
  const double wide = std::max(element, 4.0);
  const auto choices = static_cast<double>(config_.choices()),
             k = static_cast<double>(config_.top_k_at(step));
  double values = 2 * choices;
  if (features) values += features->kept_values_per_row(/*first_round=*/rounds_ == 1);
  if (config_.router_input == RouterInput::normalised) values += width_;
  return values * wide + k * (4 * wide + 24);
}

}  // namespace pointwork
