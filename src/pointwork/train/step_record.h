#pragma once
// One line of metrics.jsonl.

#include <nlohmann/json.hpp>
#include <optional>

#include "pointwork/log/expert_alarm.h"
#include "pointwork/train/evaluate.h"

namespace pointwork {

struct StepRecord {
  int64_t step = 0, total_steps = 0;  // steps done, this one included
  double loss = 0, learning_rate = 0, grad_norm = 0, predictor_grad_norm = 0;
  std::optional<double> soft_loss;  // against the teacher, where there is one
  bool skipped = false;
  double tokens = 0, flops = 0;  // of the run so far
  double seconds = 0;            // of training so far, evaluations and saving not counted
  double tokens_per_second = 0;
  double mfu = 0, mfu_palm = 0;  // causal attention at half, in full
  int64_t peak_memory_bytes = 0;
  double eta_seconds = 0;
  std::optional<Evaluation> inference,
      training;                     // at evaluations; a dense model has one and the same
  std::vector<ExpertAlarm> alarms;  // of that evaluation
  std::optional<double> teacher_loss, gain_kept;  // at the end of a distillation
};

nlohmann::ordered_json to_json(const StepRecord& record);

// What is told of a layer of token choice, here and by `eval`.
nlohmann::ordered_json experts_json(const ExpertStats& stats);

// Of the layers of token choice.
std::vector<ExpertLoads> expert_loads(const std::vector<RouteStats>& layers);

}  // namespace pointwork
