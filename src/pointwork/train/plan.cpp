#include "pointwork/train/plan.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

constexpr double kMostSteps = 1e15;

PhaseFlops phases(const Model& model, int64_t length, int64_t step, FlopKind kind) {
  Extent training{.rows = {static_cast<double>(length)},
                  .routing = Routing::training,
                  .kind = kind,
                  .step = step};
  Extent causal = training;
  causal.routing = Routing::inference;
  const double tokens = static_cast<double>(length);
  const double forward = total_flops(model.flops(training)) / tokens;
  return {forward, 3 * forward, total_flops(model.flops(causal)) / tokens};
}

double step_flops(const Model& model, int64_t step) {
  const TrainConfig& train = model.config().train;
  const Extent extent{.rows = {static_cast<double>(train.sequence_length)}, .step = step};
  return 3 * total_flops(model.flops(extent)) *
         static_cast<double>(train.batch_size * train.gradient_accumulation_steps);
}

// FLOPs of each stretch up to `steps`; the last stretch is open.
double sum_stretches(const Model& model, const std::vector<int64_t>& changes, int64_t steps) {
  double sum = 0;
  for (size_t i = 0; i < changes.size() && changes[i] < steps; ++i) {
    const int64_t end = i + 1 < changes.size() ? std::min(changes[i + 1], steps) : steps;
    sum += step_flops(model, changes[i]) * static_cast<double>(end - changes[i]);
  }
  return sum;
}

}  // namespace

std::vector<int64_t> capacity_changes(const Config& config) {
  std::set<int64_t> changes{0};
  for (const auto& [name, branch] : config.branch) {
    const auto* routed = std::get_if<RoutedConfig>(&branch.form);
    if (!routed || routed->route.capacity_schedule.steps == 0) continue;
    const CapacityScheduleConfig& schedule = routed->route.capacity_schedule;
    for (int64_t i = 1; i < schedule.values; ++i) {
      changes.insert((i * schedule.steps + schedule.values - 2) / (schedule.values - 1));
    }
  }
  return {changes.begin(), changes.end()};
}

ModelFlops model_flops(const Model& model, int64_t length, int64_t step) {
  ModelFlops result;
  result.expected = phases(model, length, step, FlopKind::expected);
  result.bound = phases(model, length, step, FlopKind::bound);
  result.parts = model.flops({.rows = {static_cast<double>(length)}, .step = step});
  const double tokens = static_cast<double>(length);
  result.palm_train = 3 * (total_flops(result.parts) + total_masked(result.parts)) / tokens;
  result.parameters = static_cast<double>(model.parameter_count());
  result.active_parameters = active_parameters(result.parts);
  return result;
}

double flops_until(const Model& model, int64_t steps) {
  return sum_stretches(model, capacity_changes(model.config()), steps);
}

Plan make_plan(const Model& model) {
  const TrainConfig& train = model.config().train;
  const int given = (train.steps > 0) + (train.tokens > 0) + (train.flops > 0);
  check(given == 1,
        "exactly one of train.steps, train.tokens and train.flops must be above 0, but ", given,
        " are");
  Plan plan;
  plan.tokens_per_step =
      train.batch_size * train.sequence_length * train.gradient_accumulation_steps;
  if (train.steps > 0) {
    plan.steps = train.steps;
  } else if (train.tokens > 0) {
    plan.steps = std::max<int64_t>(1, std::llround(static_cast<double>(train.tokens) /
                                                   static_cast<double>(plan.tokens_per_step)));
  } else {
    const std::vector<int64_t> changes = capacity_changes(model.config());
    double left = train.flops;
    check(left / step_flops(model, changes.back()) < kMostSteps, "train.flops = ", train.flops,
          " is more than ", kMostSteps, " steps of ", step_flops(model, changes.back()), " FLOPs");
    for (size_t i = 0; i < changes.size(); ++i) {
      const double each = step_flops(model, changes[i]);
      const auto fit = static_cast<int64_t>(std::llround(left / each));
      const int64_t stretch = i + 1 < changes.size() ? changes[i + 1] - changes[i] : fit;
      const int64_t taken = std::clamp<int64_t>(fit, 0, stretch);
      plan.steps += taken;
      left -= each * static_cast<double>(taken);
      if (taken < stretch) break;
    }
    plan.steps = std::max<int64_t>(1, plan.steps);
  }
  plan.flops = flops_until(model, plan.steps);
  return plan;
}

}  // namespace pointwork
