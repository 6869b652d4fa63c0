#pragma once
// Which tokens enter a routed branch, in training and causally afterwards.

#include <optional>

#include "pointwork/config/fields.h"

namespace pointwork {

enum class ChoiceKind { expert, random, threshold };
template <>
struct EnumNames<ChoiceKind> {
  static constexpr std::pair<const char*, ChoiceKind> names[] = {
      {"expert", ChoiceKind::expert},
      {"random", ChoiceKind::random},
      {"threshold", ChoiceKind::threshold}};
};

enum class RouterWeight { raw, sigmoid, tanh, none };
template <>
struct EnumNames<RouterWeight> {
  static constexpr std::pair<const char*, RouterWeight> names[] = {
      {"raw", RouterWeight::raw},
      {"sigmoid", RouterWeight::sigmoid},
      {"tanh", RouterWeight::tanh},
      {"none", RouterWeight::none}};
};

enum class CausalDecision { predictor, router };
template <>
struct EnumNames<CausalDecision> {
  static constexpr std::pair<const char*, CausalDecision> names[] = {
      {"predictor", CausalDecision::predictor}, {"router", CausalDecision::router}};
};

// The capacity falls (or rises) from `start` to route.capacity in `steps`, along at most 16 values,
// each held for equally long.
struct CapacityScheduleConfig {
  double start = 1;
  int64_t steps = 0;
  int64_t values = 16;
  bool operator==(const CapacityScheduleConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("start", self.start,
          {.help = "capacity at step 0", .min = 0, .max = 1, .above_min = true});
    visit("steps", self.steps,
          {.help = "steps until route.capacity holds; 0: no schedule", .unit = "steps", .min = 0});
    visit("values", self.values,
          {.help = "distinct capacities on the way, the last included", .min = 2, .max = 16});
  }
};

struct RouteConfig {
  ChoiceKind choice = ChoiceKind::expert;
  double capacity = 0.125;
  CapacityScheduleConfig capacity_schedule;
  RouterWeight weight = RouterWeight::raw;
  double tanh_alpha = 0.2;
  CausalDecision decode = CausalDecision::predictor;
  double decode_loss_weight = 0.01;
  double threshold_rate = 0.01;
  double initializer_range = 0.02;

  bool operator==(const RouteConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("choice", self.choice,
          {.help = "expert: the top capacity of each sequence (Mixture-of-Depths); random: the "
                   "same on N(0, 1) scores, a control; "
                   "threshold: as expert in training, score > moving quantile afterwards"});
    visit(
        "capacity", self.capacity,
        {.help = "share of a sequence's tokens that enter", .min = 0, .max = 1, .above_min = true});
    visit("capacity_schedule", self.capacity_schedule, {.help = "how the capacity gets there"});
    visit("weight", self.weight,
          {.help = "factor on what the branch adds: the raw score r, sigmoid(r), 1 + tanh_alpha * "
                   "tanh(r), or none (1)"});
    visit("tanh_alpha", self.tanh_alpha, {.help = "see weight", .min = 0, .max = 10});
    visit("decode", self.decode,
          {.help = "who decides causally for choice = expert: a predictor on a stopped gradient, "
                   "or the router itself (r > 0)"});
    visit("decode_loss_weight", self.decode_loss_weight,
          {.help = "weight of the router's cross-entropy loss with decode = router", .min = 0});
    visit("threshold_rate", self.threshold_rate,
          {.help = "rate of the moving quantile with choice = threshold",
           .min = 0,
           .max = 1,
           .above_min = true});
    visit("initializer_range", self.initializer_range,
          {.help = "standard deviation of the router's initial weights", .min = 0, .max = 10});
  }
};

}  // namespace pointwork
