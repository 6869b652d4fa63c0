#pragma once
// How a model is trained, evaluated and saved.

#include <string>

#include "pointwork/config/fields.h"

namespace pointwork {

enum class Precision { float32, bfloat16 };
template <>
struct EnumNames<Precision> {
  static constexpr std::pair<const char*, Precision> names[] = {{"float32", Precision::float32},
                                                                {"bfloat16", Precision::bfloat16}};
};

enum class ScheduleKind { cosine, linear, constant, wsd };
template <>
struct EnumNames<ScheduleKind> {
  static constexpr std::pair<const char*, ScheduleKind> names[] = {
      {"cosine", ScheduleKind::cosine},
      {"linear", ScheduleKind::linear},
      {"constant", ScheduleKind::constant},
      {"wsd", ScheduleKind::wsd}};
};

enum class Trains { all, routers };
template <>
struct EnumNames<Trains> {
  static constexpr std::pair<const char*, Trains> names[] = {{"all", Trains::all},
                                                             {"routers", Trains::routers}};
};

struct OptimizerConfig {
  Trains trains = Trains::all;
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  double gradient_clip = 1.0;
  bool operator==(const OptimizerConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("trains", self.trains,
          {.help = "which weights learn: all, or routers alone (with what decides for them), a "
                   "first phase for a model that was dense before"});
    visit("learning_rate", self.learning_rate,
          {.help = "peak learning rate", .min = 0, .above_min = true});
    visit("beta1", self.beta1,
          {.help = "decay of the first moment", .min = 0, .max = 1, .below_max = true});
    visit("beta2", self.beta2,
          {.help = "decay of the second moment", .min = 0, .max = 1, .below_max = true});
    visit("eps", self.eps,
          {.help = "added to the root of the second moment", .min = 0, .above_min = true});
    visit("weight_decay", self.weight_decay,
          {.help = "decoupled decay of matrices; norms, biases and routers have none", .min = 0});
    visit("gradient_clip", self.gradient_clip,
          {.help = "norm to which longer gradients are cut; 0: none are", .min = 0});
  }
};

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::cosine;
  int64_t warmup_steps = 100;
  double warmup_share = 0;
  double final_share = 0.1;
  double decay_share = 0.2;
  bool operator==(const ScheduleConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit(
        "kind", self.kind,
        {.help =
             "cosine, linear: from the peak down to final_share over the whole run; constant: the "
             "peak throughout; wsd: the peak, then a linear decay over the last decay_share"});
    visit("warmup_steps", self.warmup_steps,
          {.help = "linear warm-up to the peak", .unit = "steps", .min = 0});
    visit("warmup_share", self.warmup_share,
          {.help = "warm-up as a share of the run, instead of warmup_steps where it is above 0",
           .min = 0,
           .max = 1});
    visit("final_share", self.final_share,
          {.help = "last learning rate as a share of the peak", .min = 0, .max = 1});
    visit("decay_share", self.decay_share,
          {.help = "share of the run that wsd decays in", .min = 0, .max = 1});
  }
};

struct GuardConfig {
  double spike_factor = 20;
  int64_t max_skipped = 25;
  bool operator==(const GuardConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("spike_factor", self.spike_factor,
          {.help = "a step whose gradient norm is this many times its moving average is skipped; "
                   "0: never. NaN and Inf always are",
           .min = 0});
    visit("max_skipped", self.max_skipped,
          {.help = "steps skipped in a row after which training stops with an error", .min = 1});
  }
};

struct EvaluateConfig {
  int64_t every = 250;
  int64_t sequences = 64;
  bool operator==(const EvaluateConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("every", self.every,
          {.help = "steps between evaluations; 0: only at the end", .unit = "steps", .min = 0});
    visit("sequences", self.sequences,
          {.help = "validation sequences an evaluation reads; 0: all",
           .unit = "sequences",
           .min = 0});
  }
};

struct CheckpointConfig {
  int64_t every = 1000;
  int64_t keep_last = 2;
  int64_t keep_every = 0;
  bool operator==(const CheckpointConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("every", self.every,
          {.help = "steps between checkpoints; 0: only at the end", .unit = "steps", .min = 0});
    visit("keep_last", self.keep_last,
          {.help = "newest checkpoints kept", .min = 1, .max = 1 << 20});
    visit("keep_every", self.keep_every,
          {.help = "checkpoints at multiples of this step are kept for good; 0: none",
           .unit = "steps",
           .min = 0});
  }
};

// A model that has been trained teaches this one (Switch §4.2).
struct DistillConfig {
  std::string teacher;
  double hard_weight = 0.75;
  double soft_weight = 0.25;
  double temperature = 1;
  bool initialise = true;
  double dense_loss = 0;
  bool operator==(const DistillConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("teacher", self.teacher,
          {.help = "checkpoint or run of the teacher, of the same tokenizer and context, of any "
                   "family; empty: no distillation"});
    visit("hard_weight", self.hard_weight,
          {.help = "weight of the cross-entropy on the text", .min = 0});
    visit("soft_weight", self.soft_weight,
          {.help = "weight of the cross-entropy against the teacher's probabilities", .min = 0});
    visit(
        "temperature", self.temperature,
        {.help = "by which both models' logits are divided for the soft loss, which is multiplied "
                 "by its square",
         .min = 0,
         .above_min = true});
    visit("initialise", self.initialise,
          {.help = "start from the teacher's weights of the same name and shape: those that are no "
                   "experts'"});
    visit("dense_loss", self.dense_loss,
          {.help = "validation loss of the same student without a teacher, where known: the share "
                   "of the teacher's gain that is kept is then reported; 0: not known",
           .min = 0});
  }
};

struct TrainConfig {
  int64_t steps = 0;
  int64_t tokens = 0;
  double flops = 0;
  int64_t batch_size = 8;
  int64_t sequence_length = 256;
  int64_t gradient_accumulation_steps = 1;
  Precision precision = Precision::float32;
  int64_t seed = 1;
  double z_loss = 0;
  bool document_mask = false;
  double time_limit = 0;
  bool operator==(const TrainConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("steps", self.steps,
          {.help = "budget: exactly one of steps, tokens and flops is above 0",
           .unit = "steps",
           .min = 0,
           .max = 1 << 30});
    visit("tokens", self.tokens,
          {.help = "budget, instead of steps: the nearest number of steps is taken",
           .unit = "tokens",
           .min = 0,
           .max = 1e18});
    visit("flops", self.flops,
          {.help = "budget, instead of steps: FLOPs of training, 3 x forward",
           .unit = "FLOPs",
           .min = 0});
    visit("batch_size", self.batch_size,
          {.help = "sequences that are computed at a time",
           .unit = "sequences",
           .min = 1,
           .max = 1 << 24});
    visit("sequence_length", self.sequence_length,
          {.help = "length of a sequence", .unit = "tokens", .min = 1, .max = 1 << 24});
    visit("gradient_accumulation_steps", self.gradient_accumulation_steps,
          {.help = "batches whose gradients make one step", .min = 1, .max = 1 << 20});
    visit(
        "precision", self.precision,
        {.help = "of weights and activations; with bfloat16 the optimizer keeps float32 weights"});
    visit("seed", self.seed,
          {.help = "of initial weights, data order and random routing", .min = 0});
    visit("z_loss", self.z_loss,
          {.help = "weight of the loss that keeps logits small, the mean squared log of their "
                   "softmax's denominator; 0: none",
           .min = 0});
    visit("document_mask", self.document_mask,
          {.help = "tokens attend only within their own document; capacity is still a share of the "
                   "whole sequence"});
    visit("time_limit", self.time_limit,
          {.help = "save and stop after this long; 0: never", .unit = "seconds", .min = 0});
  }
};

}  // namespace pointwork
