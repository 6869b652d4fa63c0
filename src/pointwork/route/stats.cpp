#include "pointwork/route/stats.h"

#include <algorithm>
#include <cmath>

#include "pointwork/route/losses.h"

namespace pointwork {

void RouteStatsSum::add(const std::vector<Route>& routes) {
  const torch::NoGradGuard no_grad;
  for (const Route& route : routes) {
    const Tensor valid =
        route.valid.defined() ? route.valid : torch::ones_like(route.logits, torch::kBool);
    const Tensor chosen = chosen_rows(route).logical_and(valid);
    const Tensor score =
        route.logits.detach().to(torch::kFloat64).masked_fill(valid.logical_not(), 0);
    const Tensor decided = route.capacity >= 1 || !route.decision.defined()
                               ? chosen
                               : route.decision.detach().gt(0).logical_and(valid);
    const Tensor sums = torch::stack(
        {valid.sum().to(torch::kFloat64), chosen.sum().to(torch::kFloat64), score.sum(),
         score.square().sum(), decided.logical_and(chosen).sum().to(torch::kFloat64),
         decided.sum().to(torch::kFloat64),
         decided.eq(chosen).logical_and(valid).sum().to(torch::kFloat64)});
    const auto found = std::find(names_.begin(), names_.end(), route.name);
    if (found == names_.end()) {
      names_.push_back(route.name);
      sums_.push_back(sums);
    } else {
      sums_[static_cast<size_t>(found - names_.begin())] += sums;
    }
  }
}

std::vector<RouteStats> RouteStatsSum::read() const {
  std::vector<RouteStats> all;
  for (size_t i = 0; i < sums_.size(); ++i) {
    const Tensor host = sums_[i].cpu();
    const double* s = host.data_ptr<double>();
    const double rows = std::max(s[0], 1.0);
    const double mean = s[2] / rows;
    all.push_back({.name = names_[i],
                   .rows = s[0],
                   .selected_share = s[1] / rows,
                   .router_mean = mean,
                   .router_std = std::sqrt(std::max(0.0, s[3] / rows - mean * mean)),
                   .accuracy = s[6] / rows,
                   .precision = s[5] > 0 ? s[4] / s[5] : 0,
                   .recall = s[1] > 0 ? s[4] / s[1] : 0});
  }
  return all;
}

double selected_share_of(const std::vector<RouteStats>& stats, const std::string& name) {
  const auto found =
      std::find_if(stats.begin(), stats.end(), [&](const RouteStats& s) { return s.name == name; });
  return found == stats.end() ? 0 : found->selected_share;
}

RouteStats overall(const std::vector<RouteStats>& stats) {
  RouteStats sum{.name = "all"};
  double chosen = 0, decided = 0, hits = 0;
  for (const RouteStats& one : stats) {
    sum.rows += one.rows;
    sum.router_mean += one.rows * one.router_mean;
    sum.router_std += one.rows * one.router_std;
    sum.accuracy += one.rows * one.accuracy;
    // Back to counts, which are whole.
    const double its = std::round(one.rows * one.selected_share);
    const double its_hits = std::round(its * one.recall);
    chosen += its;
    hits += its_hits;
    decided += one.rows - its - std::round(one.rows * one.accuracy) + 2 * its_hits;
  }
  const double rows = std::max(sum.rows, 1.0);
  sum.selected_share = chosen / rows;
  sum.router_mean /= rows;
  sum.router_std /= rows;
  sum.accuracy /= rows;
  sum.precision = decided > 0 ? hits / decided : 0;
  sum.recall = chosen > 0 ? hits / chosen : 0;
  return sum;
}

}  // namespace pointwork
