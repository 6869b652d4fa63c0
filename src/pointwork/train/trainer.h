#pragma once
// One training step after another. No files, no terminal: run.h has those.

#include <map>
#include <string>

#include "pointwork/data/loader.h"
#include "pointwork/route/stats.h"
#include "pointwork/train/evaluate.h"
#include "pointwork/train/objective.h"
#include "pointwork/train/optimizer.h"
#include "pointwork/train/plan.h"

namespace pointwork {

// What one step did. On a GPU the values are read when asked for.
struct StepOutcome {
  int64_t step = 0;  // steps done, this one included
  double loss = 0;   // of the language model, mean over micro-batches
  double learning_rate = 0;
  double grad_norm = 0, predictor_grad_norm = 0;
  bool skipped = false;
  double tokens = 0, flops = 0;  // of the run so far
};

// Everything a bit-exact resume needs besides the weights.
struct TrainerState {
  int64_t step = 0;
  LoaderState loader;
  double tokens = 0, flops = 0, seconds = 0;
  int64_t skipped = 0;                      // steps that the guard masked
  std::map<std::string, Tensor> optimizer;  // by Optimizer::state()'s names
};

class Trainer {
 public:
  // `model` is on its device, in its precision, and initialised. Error where the data set does not fit the model or has no window.
  Trainer(std::shared_ptr<Model> model, const Dataset& dataset);

  // Error once guard.max_skipped steps in a row were masked.
  StepOutcome step();
  bool finished() const { return step_ >= plan_.steps; }
  Evaluation evaluate(Routing routing);

  TrainerState state() const;
  void restore(const TrainerState& state);

  // Sums of routing over the steps since the last call.
  std::vector<RouteStats> take_stats();

  const Plan& plan() const { return plan_; }
  int64_t steps_done() const { return step_; }
  int64_t skipped() const { return skipped_; }
  Model& model() { return *model_; }
  double flops_at(int64_t steps) const { return flops_until(*model_, steps); }

 private:
  std::shared_ptr<Model> model_;
  const Dataset& dataset_;
  Plan plan_;
  Optimizer optimizer_;
  Loader loader_;
  RouteStatsSum stats_;
  int64_t step_ = 0, skipped_ = 0;
  double tokens_ = 0;
};

}  // namespace pointwork
