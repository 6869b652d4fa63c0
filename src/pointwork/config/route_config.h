#pragma once
// Which tokens enter a routed branch, in training and causally afterwards.

#include "pointwork/config/fields.h"
#include "pointwork/config/router_config.h"
#include "pointwork/config/token_choice_config.h"

namespace pointwork {

enum class ChoiceKind { expert, random, threshold, token };
template <>
struct EnumNames<ChoiceKind> {
  static constexpr std::pair<const char*, ChoiceKind> names[] = {
      {"expert", ChoiceKind::expert},
      {"random", ChoiceKind::random},
      {"threshold", ChoiceKind::threshold},
      {"token", ChoiceKind::token}};
};

enum class RouterWeight { raw, sigmoid, tanh, none, renormalised, ste };
template <>
struct EnumNames<RouterWeight> {
  static constexpr std::pair<const char*, RouterWeight> names[] = {
      {"raw", RouterWeight::raw},
      {"sigmoid", RouterWeight::sigmoid},
      {"tanh", RouterWeight::tanh},
      {"none", RouterWeight::none},
      {"renormalised", RouterWeight::renormalised},
      {"ste", RouterWeight::ste}};
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
          {.help = "steps until capacity itself holds; 0: it holds from the start",
           .unit = "steps",
           .min = 0,
           .max = 1 << 30});
    visit("values", self.values,
          {.help = "distinct capacities on the way, first and last included, each held for equally "
                   "long",
           .min = 2,
           .max = 16});
  }
};

// The keys of a choice that is not taken are unknown: what would have no effect is an error.
struct RouteConfig : TokenChoiceConfig, RouterConfig {
  ChoiceKind choice = ChoiceKind::expert;
  double capacity = 0.125;
  CapacityScheduleConfig capacity_schedule;
  RouterWeight weight = RouterWeight::raw;
  double tanh_alpha = 0.2;
  CausalDecision decode = CausalDecision::predictor;
  double decode_loss_weight = 0.01;
  double threshold_rate = 0.01;
  double initializer_range = 0.02;

  bool by_token() const { return choice == ChoiceKind::token; }

  bool operator==(const RouteConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("choice", self.choice,
          {.help = "expert: the tokens of highest score in each sequence (Mixture-of-Depths); "
                   "random: the same on scores from N(0, 1), a control; threshold: expert in "
                   "training, while a moving quantile learns the score that decides afterwards; "
                   "token: each token takes the experts of its highest scores (Switch)"});
    visit(
        "weight", self.weight,
        {.help = "factor on what the branch adds: raw: the router's score; sigmoid: sigmoid(r); "
                 "tanh: 1 + tanh_alpha x tanh(r), for a model that was dense before; none: 1. With "
                 "choice = token: raw: the probability; renormalised: its share of the k chosen; "
                 "ste: 1 + p - stop(p); none: 1"});
    visit("initializer_range", self.initializer_range,
          {.help = "standard deviation of the router's initial weights", .min = 0, .max = 10});
    if (self.by_token()) {
      TokenChoiceConfig::fields(self, visit);
      RouterConfig::fields(self, visit);
    } else {
      depth_fields(self, visit);
    }
  }

 private:
  template <class Self, class Visitor>
  static void depth_fields(Self& self, Visitor& visit) {
    visit("capacity", self.capacity,
          {.help = "share of a sequence's tokens that enter (each expert)",
           .min = 0,
           .max = 1,
           .above_min = true});
    visit("num_experts", self.num_experts,
          {.help = "experts, each a copy of the branch that takes its own tokens by its own scores "
                   "and causal decision; with choice = expert, and above 1 only of an mlp",
           .min = 1,
           .max = 1 << 16});
    visit("capacity_schedule", self.capacity_schedule, {.help = "how capacity gets there"});
    visit(
        "tanh_alpha", self.tanh_alpha,
        {.help = "how far the score can move the factor with weight = tanh", .min = 0, .max = 10});
    visit(
        "decode", self.decode,
        {.help = "who decides outside training for choice = expert, where the highest scores of a "
                 "sequence are not known yet: predictor: a small network that learns the choice "
                 "and leaves all other weights as they were; router: r > 0, for which a loss "
                 "trains r"});
    visit("decode_loss_weight", self.decode_loss_weight,
          {.help = "weight of that loss, a binary cross-entropy, with decode = router", .min = 0});
    visit("threshold_rate", self.threshold_rate,
          {.help = "share by which a step moves the quantile with choice = threshold",
           .min = 0,
           .max = 1,
           .above_min = true});
  }
};

enum class NoopKeyValue { zero, masked };
template <>
struct EnumNames<NoopKeyValue> {
  static constexpr std::pair<const char*, NoopKeyValue> names[] = {
      {"zero", NoopKeyValue::zero}, {"masked", NoopKeyValue::masked}};
};

// Of attention's weights, token by token: Mixture-of-Modules (arXiv:2407.06677).
struct ProjectionRouteConfig : RouteConfig {
  NoopKeyValue noop_key_value = NoopKeyValue::zero;
  bool weighted_qkv = false;

  ProjectionRouteConfig() {
    choice = ChoiceKind::token;
    dropless = true;
  }

  bool operator==(const ProjectionRouteConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    RouteConfig::fields(self, visit);
    visit("noop_key_value", self.noop_key_value,
          {.help = "what others see of a token that takes only no-ops: zero: a key and a value of "
                   "0, which take their share of attention; masked: nothing"});
    visit("weighted_qkv", self.weighted_qkv,
          {.help = "queries, keys and values of several experts are summed with the router's "
                   "weights, as outputs always are; otherwise with 1"});
  }
};

}  // namespace pointwork
