#include "pointwork/route/choice.h"

#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/ops/choose.h"
#include "pointwork/ops/rows.h"

namespace pointwork {
namespace {

// int32 [B], ⌈c · valid rows⌉ of each sequence; undefined where every row is valid.
Tensor wanted_counts(const Rows& rows, double capacity) {
  if (!rows.valid.defined()) return {};
  const Tensor valid = rows.valid.view({rows.sequences(), rows.each}).sum(1).to(torch::kFloat64);
  return at::minimum((valid * capacity - 1e-9).ceil().clamp_min(1), valid).to(torch::kInt32);
}

}  // namespace

Route route_of_rows(const Tensor& token, const Rows& rows, int64_t each) {
  Route route;
  route.token = token;
  std::tie(route.row_offset, route.row_slot) = index_slots(token, rows.count());
  route.valid = rows.valid;
  route.root = rows.root;
  route.sequences = rows.sequences();
  route.shape = {.rows = rows.count(), .experts = 1, .slots = token.size(0), .each = each};
  return route;
}

double capacity_at(const RouteConfig& config, int64_t step) {
  const CapacityScheduleConfig& schedule = config.capacity_schedule;
  if (schedule.steps == 0 || step >= schedule.steps) return config.capacity;
  const int64_t last = schedule.values - 1;
  const int64_t at = std::max<int64_t>(step, 0) * last / schedule.steps;
  return schedule.start +
         (config.capacity - schedule.start) * static_cast<double>(at) / static_cast<double>(last);
}

int64_t slots_of(double capacity, int64_t rows) {
  if (rows == 0) return 0;
  // The small term keeps 0.1 · 30 from becoming 4.
  const auto slots = static_cast<int64_t>(std::ceil(capacity * static_cast<double>(rows) - 1e-9));
  return std::clamp<int64_t>(slots, 1, rows);
}

Route choose_top(const std::string& name, const Tensor& score, const Rows& rows, double capacity) {
  check(rows.each > 0, "[", name, "] selection as in training needs sequences of equal length");
  const int64_t each = slots_of(capacity, rows.each);
  const Tensor token =
      top_rows(name, score, rows.sequences(), rows.valid, wanted_counts(rows, capacity), each);
  return route_of_rows(token, rows, each);
}

Route choose_above_zero(const Tensor& decision, const Rows& rows) {
  return route_of_rows(rows_above_zero(decision, rows.valid), rows, 0);
}

Route choose_all(const Rows& rows) {
  return route_of_rows(torch::arange(rows.count(), rows.position.options()), rows, rows.each);
}

Route of_all_experts(const std::vector<Route>& routes) {
  std::vector<Tensor> tokens;
  std::vector<int32_t> offset{0};
  for (const Route& route : routes) {
    tokens.push_back(route.token);
    offset.push_back(offset.back() + static_cast<int32_t>(route.token.size(0)));
  }
  Route all = routes.front();
  all.token = torch::cat(tokens);
  std::tie(all.row_offset, all.row_slot) = index_slots(all.token, all.shape.rows);
  all.offset = torch::tensor(offset, torch::kInt32).to(all.token.device());
  all.shape.experts = static_cast<int64_t>(routes.size());
  all.shape.slots = all.token.size(0);
  return all;
}

Tensor boundary_score(const Tensor& score, const Rows& rows, double capacity) {
  const Route chosen = choose_top("threshold", score, rows, capacity);
  const Tensor filled = chosen.token.ge(0);
  const Tensor values =
      score.index_select(0, chosen.token.clamp_min(0).to(torch::kInt64))
          .masked_fill(filled.logical_not(), std::numeric_limits<float>::infinity())
          .view({rows.sequences(), -1});
  const Tensor lowest = values.amin(1);
  const Tensor any = lowest.isfinite();
  return lowest.masked_fill(any.logical_not(), 0).sum() / any.sum();  // NaN where there is none
}

Tensor random_scores(const std::string& name, const Rows& rows, uint64_t seed, int64_t round) {
  const uint64_t key = stream_key(seed, name + "#" + std::to_string(round));
  const Tensor position = rows.position.cpu();
  Tensor scores = torch::empty({rows.count()}, torch::kFloat32);
  const int32_t* at = position.data_ptr<int32_t>();
  const int32_t* start = rows.start.data_ptr<int32_t>();
  const int64_t* sequence_key = rows.key.data_ptr<int64_t>();
  float* out = scores.data_ptr<float>();
  for (int64_t b = 0; b < rows.sequences(); ++b) {
    for (int32_t t = start[b]; t < start[b + 1]; ++t) {
      out[t] = static_cast<float>(
          random_normal(key, static_cast<uint64_t>(at[t]), static_cast<uint64_t>(sequence_key[b])));
    }
  }
  return scores.to(rows.position.device());
}

double inverse_normal(double p) {
  check(p > 0 && p < 1, "inverse_normal expects p in (0, 1) but found ", p);
  // Newton on Φ(z) − p from the logistic approximation, or in the tail from the bound e^(−z²/2);
  // the other half by symmetry.
  if (p > 0.5) return -inverse_normal(1 - p);
  double z = p < 0.02 ? -std::sqrt(-2 * std::log(p)) : std::log(p / (1 - p)) / 1.702;
  for (int i = 0; i < 100; ++i) {
    const double error = 0.5 * std::erfc(-z * M_SQRT1_2) - p;
    const double density = std::exp(-z * z / 2) * 0.3989422804014327;
    // Halley's step: convergent from either side in the tail, where plain Newton overshoots.
    const double step = error / density;
    const double change = step / (1 + z * step / 2);
    z -= change;
    if (std::abs(change) < 1e-15 * (1 + std::abs(z))) break;
  }
  return z;
}

}  // namespace pointwork
