#pragma once
// How each token chooses its experts: Switch Transformers (arXiv:2101.03961), GShard, and after.

#include "pointwork/config/fields.h"

namespace pointwork {

enum class NoopKind { zero, copy };
template <>
struct EnumNames<NoopKind> {
  static constexpr std::pair<const char*, NoopKind> names[] = {{"zero", NoopKind::zero},
                                                               {"copy", NoopKind::copy}};
};

enum class RouterScore { softmax, sigmoid };
template <>
struct EnumNames<RouterScore> {
  static constexpr std::pair<const char*, RouterScore> names[] = {
      {"softmax", RouterScore::softmax}, {"sigmoid", RouterScore::sigmoid}};
};

enum class RouterDtype { float32, bfloat16 };
template <>
struct EnumNames<RouterDtype> {
  static constexpr std::pair<const char*, RouterDtype> names[] = {
      {"float32", RouterDtype::float32}, {"bfloat16", RouterDtype::bfloat16}};
};

enum class SecondChoice { all, threshold, random };
template <>
struct EnumNames<SecondChoice> {
  static constexpr std::pair<const char*, SecondChoice> names[] = {
      {"all", SecondChoice::all},
      {"threshold", SecondChoice::threshold},
      {"random", SecondChoice::random}};
};

enum class CapacityRounding { floor, round, ceil };
template <>
struct EnumNames<CapacityRounding> {
  static constexpr std::pair<const char*, CapacityRounding> names[] = {
      {"floor", CapacityRounding::floor},
      {"round", CapacityRounding::round},
      {"ceil", CapacityRounding::ceil}};
};

enum class CapacityPriority { position, probability };
template <>
struct EnumNames<CapacityPriority> {
  static constexpr std::pair<const char*, CapacityPriority> names[] = {
      {"position", CapacityPriority::position}, {"probability", CapacityPriority::probability}};
};

enum class Exploration { none, sample, dropout, jitter };
template <>
struct EnumNames<Exploration> {
  static constexpr std::pair<const char*, Exploration> names[] = {{"none", Exploration::none},
                                                                  {"sample", Exploration::sample},
                                                                  {"dropout", Exploration::dropout},
                                                                  {"jitter", Exploration::jitter}};
};

enum class BalanceOver { choices, experts };
template <>
struct EnumNames<BalanceOver> {
  static constexpr std::pair<const char*, BalanceOver> names[] = {
      {"choices", BalanceOver::choices}, {"experts", BalanceOver::experts}};
};

enum class LayerReduction { sum, mean };
template <>
struct EnumNames<LayerReduction> {
  static constexpr std::pair<const char*, LayerReduction> names[] = {
      {"sum", LayerReduction::sum}, {"mean", LayerReduction::mean}};
};

// What keeps the experts' loads alike.
struct BalanceConfig {
  double loss_weight = 0.01;
  BalanceOver over = BalanceOver::choices;
  LayerReduction layers = LayerReduction::sum;
  double z_loss_weight = 0;
  double sequence_loss_weight = 0;
  double bias_rate = 0;
  bool operator==(const BalanceConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("loss_weight", self.loss_weight,
          {.help = "weight of M x sum of f x P over the M choices, f the share of choices before "
                   "drops, P the mean probability (Switch eq. 4)",
           .min = 0});
    visit("over", self.over,
          {.help = "what is balanced: choices: experts and no-op experts alike; experts: the "
                   "experts among themselves, so that no-ops may take any share"});
    visit(
        "layers", self.layers,
        {.help = "how the losses of several layers become one: their sum (Switch) or mean (T5X)"});
    visit("z_loss_weight", self.z_loss_weight,
          {.help =
               "weight of the mean squared logsumexp of router logits (ST-MoE: 1e-3); train.z_loss "
               "is the language model's own",
           .min = 0});
    visit(
        "sequence_loss_weight", self.sequence_loss_weight,
        {.help = "weight of the same balance loss taken in each sequence (DeepSeek-V3: 1e-4), the "
                 "complement of bias_rate",
         .min = 0});
    visit("bias_rate", self.bias_rate,
          {.help = "step of a bias on each choice's score, for selection only, towards even loads "
                   "(loss-free balancing, arXiv:2408.15664: 1e-3); 0: no bias",
           .min = 0,
           .max = 1});
  }
};

struct TokenChoiceConfig {
  int64_t num_experts = 1;
  int64_t num_noop = 0;
  NoopKind noop = NoopKind::zero;
  int64_t top_k = 1;
  int64_t top_k_start = 0;
  int64_t top_k_steps = 0;
  RouterScore score = RouterScore::softmax;
  RouterDtype router_dtype = RouterDtype::float32;
  double routed_scaling_factor = 1;
  SecondChoice second_choice = SecondChoice::all;
  double second_threshold = 0.2;
  bool dropless = false;
  double capacity_factor = 1.25;
  double eval_capacity_factor = 2;
  int64_t capacity_per_sequence = 0;
  int64_t group_size = 1024;
  CapacityRounding capacity_rounding = CapacityRounding::floor;
  int64_t min_capacity = 4;
  CapacityPriority priority = CapacityPriority::position;
  double target_active = 0;
  double target_rate = 0.001;
  Exploration exploration = Exploration::jitter;
  double exploration_amount = 0.01;
  BalanceConfig balance;

  int64_t choices() const { return num_experts + num_noop; }  // M
  int64_t top_k_at(int64_t step) const;
  // Rows that take an expert at all, as a share, where every choice is as likely.
  double taking_share(int64_t k) const;

  bool operator==(const TokenChoiceConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("num_experts", self.num_experts,
          {.help = "experts, each a copy of the branch with weights of its own",
           .min = 1,
           .max = 1 << 16});
    visit("num_noop", self.num_noop,
          {.help = "no-op experts beside them, which cost nothing and have no capacity",
           .min = 0,
           .max = 1 << 16});
    visit("noop", self.noop,
          {.help = "what a no-op expert does: zero: adds nothing; copy: adds the weight times the "
                   "row that experts read"});
    visit("top_k", self.top_k,
          {.help = "choices a token makes among experts and no-ops", .min = 1, .max = 1 << 16});
    visit(
        "top_k_start", self.top_k_start,
        {.help = "choices at step 0, all of them for a soft start, from where they fall to top_k; "
                 "0: top_k from the start",
         .min = 0,
         .max = 1 << 16});
    visit("top_k_steps", self.top_k_steps,
          {.help = "steps of that way", .unit = "steps", .min = 0, .max = 1 << 30});
    visit("score", self.score,
          {.help = "what logits become before the choice: softmax over all choices, or sigmoid of "
                   "each"});
    visit("router_dtype", self.router_dtype,
          {.help = "what logits and scores are computed in: float32 whatever the model's precision "
                   "(selective precision); bfloat16 to see what that is for"});
    visit("routed_scaling_factor", self.routed_scaling_factor,
          {.help = "factor on the combine weights", .min = 0, .above_min = true});
    visit(
        "second_choice", self.second_choice,
        {.help = "with top_k = 2, whether the second choice is used: all: always; threshold: where "
                 "its share of the two weights is above second_threshold; random: in training with "
                 "probability share / second_threshold (GShard), afterwards always"});
    visit("second_threshold", self.second_threshold,
          {.help = "see second_choice", .min = 0, .max = 1, .above_min = true});
    visit("dropless", self.dropless,
          {.help = "experts have no capacity in training either, so no token is dropped"});
    visit(
        "capacity_factor", self.capacity_factor,
        {.help = "an expert's slots in training as a multiple of its fair share of a group; tokens "
                 "beyond them are dropped",
         .min = 0,
         .above_min = true});
    visit("eval_capacity_factor", self.eval_capacity_factor,
          {.help = "the same for evaluation with --routing training; inference is dropless",
           .min = 0,
           .above_min = true});
    visit("capacity_per_sequence", self.capacity_per_sequence,
          {.help = "an expert's slots in each sequence, instead of the factors where it is above 0",
           .unit = "tokens",
           .min = 0,
           .max = 1 << 24});
    visit(
        "group_size", self.group_size,
        {.help = "capacity, priority and balance loss are taken in groups of this many consecutive "
                 "tokens; 0: all of a batch; a sequence where there is one expert",
         .unit = "tokens",
         .min = 0,
         .max = 1 << 24});
    visit("capacity_rounding", self.capacity_rounding,
          {.help = "of a capacity that is no whole number"});
    visit(
        "min_capacity", self.min_capacity,
        {.help = "least capacity that a factor gives", .unit = "tokens", .min = 0, .max = 1 << 24});
    visit(
        "priority", self.priority,
        {.help = "who is kept where an expert is full: position: who comes first; probability: who "
                 "weighs most"});
    visit(
        "target_active", self.target_active,
        {.help = "mean number of experts, no-ops not counted, that a token takes, which a bias on "
                 "no-ops holds; at most top_k; 0: as it comes",
         .min = 0});
    visit("target_rate", self.target_rate,
          {.help = "step of that bias", .min = 0, .max = 1, .above_min = true});
    visit("exploration", self.exploration,
          {.help =
               "in training: none: the highest scores; sample: drawn from the scores; dropout: the "
               "router's input has values dropped; jitter: it is multiplied by 1 +- amount"});
    visit("exploration_amount", self.exploration_amount,
          {.help = "of dropout (0.1 in Switch) or jitter", .min = 0, .max = 1, .below_max = true});
    visit("balance", self.balance, {.help = "what keeps the loads of experts alike"});
  }
};

}  // namespace pointwork
