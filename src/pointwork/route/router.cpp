#include "pointwork/route/router.h"

#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/ops/linear.h"
#include "pointwork/route/choice.h"

namespace pointwork {

Predictor::Predictor(int64_t size, double capacity) {
  const int64_t half = std::max<int64_t>(1, size / 2);
  hidden = register_parameter("hidden", torch::empty({half, size}));
  hidden_bias = register_parameter("hidden_bias", torch::zeros({half}));
  output = register_parameter("output", torch::empty({half}));
  // The prior odds of being chosen: the first steps need not be spent on learning the capacity.
  const double share = std::min(capacity, 0.999);
  output_bias = register_parameter("output_bias", torch::full({1}, std::log(share / (1 - share))));
}

Tensor Predictor::forward(const Tensor& x) {
  const Tensor inner = at::silu(project(x.detach(), hidden, hidden_bias));
  return row_dot(inner, output) + output_bias;
}

Router::Router(std::string name, int64_t size, const RouteConfig& config)
    : name_(std::move(name)), config_(config) {
  if (config_.choice != ChoiceKind::random) {
    weight = register_parameter("weight", torch::empty({size}));
  }
  if (config_.choice == ChoiceKind::threshold) {
    threshold = register_buffer("threshold", torch::zeros({2}));
  }
  if (config_.choice == ChoiceKind::expert && config_.decode == CausalDecision::predictor) {
    predictor = register_module("predictor", std::make_shared<Predictor>(size, config_.capacity));
  }
}

double Router::capacity(int64_t step) const { return capacity_at(config_, step); }

bool Router::causal_decision_differs() const { return config_.choice != ChoiceKind::random; }

Tensor Router::combine_weight(const Tensor& score) const {
  switch (config_.weight) {
    case RouterWeight::raw:
      return score;
    case RouterWeight::sigmoid:
      return score.sigmoid();
    case RouterWeight::tanh:
      return 1 + config_.tanh_alpha * score.tanh();
    case RouterWeight::none:
      return {};
  }
  fail("[", name_, "] unknown router weight");
}

// The first boundary is taken whole; one that is not finite never enters.
void Router::move_threshold(const Tensor& boundary) {
  const torch::NoGradGuard no_grad;
  const Tensor finite = boundary.isfinite();
  const Tensor rate = 1 - (1 - config_.threshold_rate) * threshold[1];
  const Tensor moved = threshold[0] + rate * (boundary - threshold[0]);
  threshold[0].copy_(torch::where(finite, moved, threshold[0]));
  threshold[1].copy_(finite.logical_or(threshold[1].gt(0)));
}

// A row enters where it is above 0.
Tensor Router::decide(const Tensor& x, const Tensor& score, double capacity, const Context& ctx) {
  const Tensor seen = score.detach();
  switch (config_.choice) {
    case ChoiceKind::expert:
      return predictor ? predictor->forward(x) : score;
    case ChoiceKind::random:
      return seen + inverse_normal(capacity);
    case ChoiceKind::threshold:
      if (ctx.training) move_threshold(boundary_score(seen, ctx.rows, capacity));
      return seen - threshold[0];
  }
  fail("[", name_, "] unknown choice");
}

Route Router::forward(const Tensor& x, Context& ctx) {
  const double capacity = this->capacity(ctx.step);
  const Tensor score = config_.choice == ChoiceKind::random
                           ? random_scores(name_, ctx.rows, ctx.seed, ctx.round)
                           : row_dot(x, weight);
  const bool all = capacity >= 1;
  Tensor decision;
  if (!all) decision = decide(x, score, capacity, ctx);

  Route route;
  if (all) {
    route = choose_all(ctx.rows);
  } else if (ctx.routing == Routing::training) {
    route = choose_top(name_, score, ctx.rows, capacity);
  } else {
    route = choose_above_zero(decision.detach(), ctx.rows);
  }
  route.name = name_;
  route.logits = score;
  route.decision = decision;
  route.capacity = capacity;
  route.round = ctx.round;
  const Tensor chosen =
      all ? score : score.index_select(0, route.token.clamp_min(0).to(torch::kInt64));
  route.weight = combine_weight(chosen);
  return route;
}

}  // namespace pointwork
