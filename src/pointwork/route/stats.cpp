#include "pointwork/route/stats.h"

#include <algorithm>
#include <cmath>

#include "pointwork/base/expert_load.h"
#include "pointwork/route/losses.h"
#include "pointwork/route/token_choice.h"

namespace pointwork {

namespace {

Tensor sum_of(const Tensor& values) { return values.sum().to(torch::kFloat64); }

Tensor depth_sums(const Tensor& score, const Tensor& chosen, const Tensor& decided,
                  const Tensor& valid) {
  const Tensor own = score.to(torch::kFloat64).masked_fill(valid.logical_not(), 0);
  return torch::stack({sum_of(valid), sum_of(chosen), own.sum(), own.square().sum(),
                       sum_of(decided.logical_and(chosen)), sum_of(decided),
                       sum_of(decided.eq(chosen).logical_and(valid))});
}

Tensor token_sums(const Route& route, const Tensor& valid) {
  const RouteCounts counts = count_choices(route);
  const Tensor off = valid.logical_not();
  Tensor p = route.probability.detach().to(torch::kFloat64);
  p = p / p.sum(1, /*keepdim=*/true);
  const Tensor entropy = -at::xlogy(p, p).sum(1).masked_fill(off, 0).sum();
  const Tensor z =
      route.logits.detach().to(torch::kFloat64).logsumexp(1).square().masked_fill(off, 0).sum();
  const Tensor few = torch::stack(
      {counts.routed.to(torch::kFloat64), counts.dropped.to(torch::kFloat64), entropy, z});
  return torch::cat({few, counts.chosen.to(torch::kFloat64)});
}

// Σ p log 1/p over its largest value.
double evenness(const double* share, int64_t n) {
  double sum = 0, entropy = 0;
  for (int64_t i = 0; i < n; ++i) sum += share[i];
  for (int64_t i = 0; i < n; ++i) {
    if (share[i] > 0) entropy -= share[i] / sum * std::log(share[i] / sum);
  }
  return n > 1 ? entropy / std::log(static_cast<double>(n)) : 1;
}

// `s`: routed, dropped, Σ entropy, Σ z, loads [M].
ExpertStats read_experts(const double* s, int64_t experts, int64_t choices, double rows) {
  ExpertStats stats;
  stats.num_experts = experts;
  const double* load = s + 4;
  double all = 0, real = 0;
  for (int64_t i = 0; i < choices; ++i) {
    all += load[i];
    if (i < experts) real += load[i];
  }
  const double fair = std::max(real / static_cast<double>(experts), 1e-300);
  for (int64_t i = 0; i < choices; ++i) stats.load.push_back(load[i] / fair);
  for (int64_t i = 0; i < experts; ++i) {
    stats.max_load = std::max(stats.max_load, stats.load[static_cast<size_t>(i)]);
    stats.dead += stats.load[static_cast<size_t>(i)] < kDeadLoad;
  }
  stats.load_entropy = real > 0 ? evenness(load, experts) : 0;
  stats.entropy = choices > 1 ? s[2] / rows / std::log(static_cast<double>(choices)) : 0;
  stats.z = s[3] / rows;
  stats.dropped_share = s[1] / std::max(s[0] + s[1], 1.0);
  stats.noop_share = (all - real) / std::max(all, 1.0);
  return stats;
}

}  // namespace

void RouteStatsSum::add(const std::vector<Route>& routes) {
  const torch::NoGradGuard no_grad;
  for (const Route& route : routes) {
    const bool by_token = route.choice.defined();
    const Tensor score = (by_token ? route.probability.amax(1) : route.logits).detach();
    const Tensor rows_valid =
        route.valid.defined()
            ? route.valid
            : torch::ones({route.shape.rows}, route.logits.options().dtype(torch::kBool));
    // Of several experts that choose, each row counts once for each.
    const Tensor valid = score.dim() == 2 ? rows_valid.unsqueeze(1).expand_as(score) : rows_valid;
    const Tensor chosen = (by_token ? chosen_rows(route) : chosen_pairs(route)).logical_and(valid);
    const Tensor decided = by_token || !route.decision.defined()
                               ? chosen
                               : route.decision.detach().gt(0).logical_and(valid);
    Tensor values = depth_sums(score, chosen, decided, valid);
    if (by_token) values = torch::cat({values, token_sums(route, rows_valid)});
    const auto found = std::find_if(sums_.begin(), sums_.end(),
                                    [&](const Sum& sum) { return sum.name == route.name; });
    if (found == sums_.end()) {
      sums_.push_back({route.name, by_token ? route.shape.experts : 0, values});
    } else {
      found->values += values;
    }
  }
}

std::vector<RouteStats> RouteStatsSum::read() const {
  std::vector<RouteStats> all;
  for (const Sum& sum : sums_) {
    const Tensor host = sum.values.cpu();
    const double* s = host.data_ptr<double>();
    const double rows = std::max(s[0], 1.0);
    const double mean = s[2] / rows;
    all.push_back({.name = sum.name,
                   .rows = s[0],
                   .selected_share = s[1] / rows,
                   .router_mean = mean,
                   .router_std = std::sqrt(std::max(0.0, s[3] / rows - mean * mean)),
                   .accuracy = s[6] / rows,
                   .precision = s[5] > 0 ? s[4] / s[5] : 0,
                   .recall = s[1] > 0 ? s[4] / s[1] : 0,
                   .experts = {}});
    if (sum.experts == 0) continue;
    all.back().experts = read_experts(s + 7, sum.experts, host.size(0) - 11, rows);
    all.back().experts->confidence = mean;
  }
  return all;
}

double selected_share_of(const std::vector<RouteStats>& stats, const std::string& name) {
  const auto found =
      std::find_if(stats.begin(), stats.end(), [&](const RouteStats& s) { return s.name == name; });
  return found == stats.end() ? 0 : found->selected_share;
}

RouteStats overall(const std::vector<RouteStats>& stats) {
  RouteStats sum{.name = "all", .experts = {}};
  // Token choice is its own causal decision: nothing of it can differ.
  double entered = 0, judged = 0, chosen = 0, decided = 0, hits = 0;
  for (const RouteStats& one : stats) {
    sum.rows += one.rows;
    sum.router_mean += one.rows * one.router_mean;
    sum.router_std += one.rows * one.router_std;
    // Back to counts, which are whole.
    const double its = std::round(one.rows * one.selected_share);
    entered += its;
    if (one.experts) continue;
    judged += one.rows;
    sum.accuracy += one.rows * one.accuracy;
    const double its_hits = std::round(its * one.recall);
    chosen += its;
    hits += its_hits;
    decided += one.rows - its - std::round(one.rows * one.accuracy) + 2 * its_hits;
  }
  const double rows = std::max(sum.rows, 1.0);
  sum.selected_share = entered / rows;
  sum.router_mean /= rows;
  sum.router_std /= rows;
  const bool none = judged == 0 && sum.rows > 0;
  sum.accuracy = none ? 1 : sum.accuracy / std::max(judged, 1.0);
  sum.precision = none ? 1 : decided > 0 ? hits / decided : 0;
  sum.recall = none ? 1 : chosen > 0 ? hits / chosen : 0;
  return sum;
}

}  // namespace pointwork
