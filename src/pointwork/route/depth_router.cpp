#include "pointwork/route/depth_router.h"

#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/ops/linear.h"
#include "pointwork/route/choice.h"
#include "pointwork/route/losses.h"

namespace pointwork {

namespace {

// Of the first step at which the predictor is asked.
double first_capacity(const RouteConfig& config) {
  int64_t step = 0;
  while (step < config.capacity_schedule.steps && capacity_at(config, step) >= 1) ++step;
  return capacity_at(config, step);
}

}  // namespace

Predictor::Predictor(int64_t size, double capacity, int64_t experts) {
  const int64_t half = std::max<int64_t>(1, size / 2);
  hidden = register_parameter("hidden", torch::empty({half, size}));
  hidden_bias = register_parameter("hidden_bias", torch::zeros({half}));
  output = register_parameter("output",
                              experts > 1 ? torch::empty({experts, half}) : torch::empty({half}));
  // The prior odds of being chosen: the first steps need not be spent on learning the capacity.
  const double share = std::min(capacity, 0.999);
  output_bias =
      register_parameter("output_bias", torch::full({experts}, std::log(share / (1 - share))));
}

Tensor Predictor::forward(const Tensor& x) {
  const Tensor inner = at::silu(project(x.detach(), hidden, hidden_bias));
  return row_dot(inner, output) + output_bias;
}

DepthRouter::DepthRouter(std::string name, int64_t size, const RouteConfig& config)
    : Router(std::move(name), config), width_(static_cast<double>(size)) {
  if (config_.choice != ChoiceKind::random) {
    weight = register_parameter("weight", config_.num_experts > 1
                                              ? torch::empty({config_.num_experts, size})
                                              : torch::empty({size}));
  }
  if (config_.choice == ChoiceKind::threshold) {
    threshold = register_buffer("threshold", torch::zeros({2}));
  }
  if (config_.choice == ChoiceKind::expert && config_.decode == CausalDecision::predictor) {
    predictor = register_module(
        "predictor",
        std::make_shared<Predictor>(size, first_capacity(config_), config_.num_experts));
  }
}

double DepthRouter::capacity(int64_t step) const { return capacity_at(config_, step); }

double DepthRouter::share(int64_t step) const {
  return capacity(step) * static_cast<double>(config_.num_experts);
}

Tensor DepthRouter::combine_weight(const Tensor& score) const {
  switch (config_.weight) {
    case RouterWeight::raw:
      return score;
    case RouterWeight::sigmoid:
      return score.sigmoid();
    case RouterWeight::tanh:
      return 1 + config_.tanh_alpha * score.tanh();
    case RouterWeight::none:
      return {};
    default:
      fail("[", name_, "] a weight of token choice");
  }
}

// The first boundary is taken whole; one that is not finite never enters.
void DepthRouter::move_threshold(const Tensor& boundary) {
  const torch::NoGradGuard no_grad;
  const Tensor finite = boundary.isfinite();
  const Tensor rate = 1 - (1 - config_.threshold_rate) * threshold[1];
  const Tensor moved = threshold[0] + rate * (boundary - threshold[0]);
  threshold[0].copy_(torch::where(finite, moved, threshold[0]));
  threshold[1].copy_(finite.logical_or(threshold[1].gt(0)));
}

// A row enters where it is above 0.
Tensor DepthRouter::decide(const Tensor& x, const Tensor& score, double capacity,
                           const Context& ctx) {
  const Tensor seen = score.detach();
  switch (config_.choice) {
    case ChoiceKind::expert:
      return predictor ? predictor->forward(x) : score;
    case ChoiceKind::random:
      return seen + inverse_normal(capacity);
    case ChoiceKind::threshold:
      if (ctx.training) move_threshold(boundary_score(seen, ctx.rows, capacity));
      return seen - threshold[0];
    default:
      fail("[", name_, "] unknown choice");
  }
}

// Each expert by its own column of scores and decisions.
Route DepthRouter::choose(const Tensor& score, const Tensor& decision, const Context& ctx,
                          double capacity) const {
  const auto one = [&](const Tensor& own, const Tensor& own_decision) {
    if (capacity >= 1) return choose_all(ctx.rows);
    if (ctx.routing == Routing::training) return choose_top(name_, own, ctx.rows, capacity);
    return choose_above_zero(own_decision.detach(), ctx.rows);
  };
  const auto scores_of = [](const Tensor& own, const Route& route) {
    return own.index_select(0, route.token.clamp_min(0).to(torch::kInt64));
  };
  if (config_.num_experts == 1) {
    Route route = one(score, decision);
    route.weight = combine_weight(capacity >= 1 ? score : scores_of(score, route));
    return route;
  }
  std::vector<Route> routes;
  std::vector<Tensor> chosen;
  for (int64_t e = 0; e < config_.num_experts; ++e) {
    const Tensor own = score.select(1, e).contiguous();
    routes.push_back(one(own, decision.defined() ? decision.select(1, e) : decision));
    chosen.push_back(scores_of(own, routes.back()));
  }
  Route route = of_all_experts(routes);
  route.weight = combine_weight(torch::cat(chosen));
  return route;
}

Route DepthRouter::forward(const Tensor& x, RouterState&, Context& ctx) {
  const double capacity = this->capacity(ctx.step);
  const Tensor score = config_.choice == ChoiceKind::random
                           ? random_scores(name_, ctx.rows, ctx.seed, ctx.round)
                           : row_dot(x, weight);
  const bool all = capacity >= 1;
  Tensor decision;
  if (!all) decision = decide(x, score, capacity, ctx);

  Route route = choose(score, decision, ctx, capacity);
  route.name = name_;
  route.logits = score;
  route.decision = decision;
  route.capacity = capacity;
  route.whole = all && config_.num_experts == 1;
  route.round = ctx.round;
  return route;
}

Tensor DepthRouter::loss(const Route& route) const {
  double weight = 0;
  if (predictor) {
    weight = 1;
  } else if (config_.choice == ChoiceKind::expert) {
    weight = config_.decode_loss_weight;
  }
  return weight > 0 && route.capacity < 1 ? weight * decision_loss(route) : Tensor();
}

Extent DepthRouter::inside(const Extent& extent) const {
  const double capacity = this->capacity(extent.step);
  Extent inner = extent;
  const auto experts = static_cast<double>(config_.num_experts);
  if (capacity >= 1 || extent.routing == Routing::training) {
    inner = slots(extent);
  } else {
    const double share = extent.kind == FlopKind::expected ? capacity : 1;
    for (double& n : inner.rows) n *= share * experts;
  }
  if (capacity >= 1) return inner;
  if (extent.kind == FlopKind::expected || extent.routing == Routing::training) {
    for (double& n : inner.past) n *= capacity;
  }
  return inner;
}

Extent DepthRouter::slots(const Extent& extent) const {
  const double capacity = this->capacity(extent.step);
  Extent inner = extent;
  for (double& n : inner.rows) {
    n = static_cast<double>(config_.num_experts) *
        (capacity >= 1 ? n : static_cast<double>(slots_of(capacity, static_cast<int64_t>(n))));
  }
  return inner;
}

void DepthRouter::flops(const Extent& extent, const std::string& name, FlopParts& parts) const {
  const auto part = [&](const std::string& what, double weights, double all, double share) {
    parts.push_back(
        {name + what, 2 * weights * share * extent.total(), all, all * share * extent.share()});
  };
  if (weight.defined()) {
    const auto size = static_cast<double>(weight.numel());
    part("", size, size, 1);
  }
  if (predictor) {
    const auto weights = static_cast<double>(predictor->hidden.numel() + predictor->output.numel());
    // Where every row enters nobody asks it.
    part(".predictor", weights,
         weights +
             static_cast<double>(predictor->hidden_bias.numel() + predictor->output_bias.numel()),
         capacity(extent.step) < 1 ? 1 : 0);
  }
}

// Score and index, and the predictor's hidden row on both sides of its activation. What a score is
// a product of is float32: in bfloat16 a copy.
double DepthRouter::kept_bytes_per_row(int64_t step, double element) const {
  const double wide = std::max(element, 4.0);
  const double copy = weight.defined() && element < 4 ? width_ * wide : 0;
  const double hidden = predictor && capacity(step) < 1
                            ? static_cast<double>(predictor->hidden.size(0)) * (element + wide)
                            : 0;
  return copy + hidden + 16 * static_cast<double>(config_.num_experts);
}

}  // namespace pointwork
