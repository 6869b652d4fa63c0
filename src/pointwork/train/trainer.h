#pragma once
// One training step after another. No files, no terminal: run.h has those.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pointwork/data/loader.h"
#include "pointwork/train/distill.h"
#include "pointwork/train/evaluate.h"
#include "pointwork/train/objective.h"
#include "pointwork/train/optimizer.h"
#include "pointwork/train/plan.h"

namespace pointwork {

// What one step did, as far as it is known without waiting for the device.
struct StepOutcome {
  int64_t step = 0;  // steps done, this one included
  double learning_rate = 0;
  double tokens = 0, flops = 0;  // of the run so far
  Tensor loss;                   // float32 []  of the language model, mean over targets
  Tensor soft_loss;              // float32 []  against the teacher, likewise; undefined without
  UpdateResult update;
  std::vector<std::string> routers;  // of each Route, in order
  Tensor finite;                     // bool [routes]  whether its scores were numbers
};

// The rest of it, on the host.
struct StepValues {
  double loss = 0, grad_norm = 0, predictor_grad_norm = 0;
  std::optional<double> soft_loss;  // where there is a teacher
  bool skipped = false;
  std::string
      bad_router;  // of a step that was skipped: the first router whose scores were no numbers
};

// Everything a bit-exact resume needs besides the weights.
struct TrainerState {
  int64_t step = 0;
  LoaderState loader;
  double tokens = 0, flops = 0, seconds = 0;
  std::map<std::string, Tensor> optimizer;  // by Optimizer::state()'s names
};

// Error where the data set does not fit what the config asks for, or has too few tokens to train.
void check_fits(const Dataset& dataset, const Config& config);

class Trainer {
 public:
  // `model` is on its device, in its precision, and initialised. Errors as check_fits().
  Trainer(std::shared_ptr<Model> model, const Dataset& dataset,
          std::shared_ptr<Teacher> teacher = nullptr);

  StepOutcome step();
  // Waits for that step. Error once guard.max_skipped steps in a row were masked.
  StepValues read(const StepOutcome& outcome) const;
  bool finished() const { return step_ >= plan_.steps; }
  Evaluation evaluate(Routing routing);
  Evaluation evaluate_teacher();  // on the same windows

  TrainerState state() const;
  void restore(const TrainerState& state);

  const Plan& plan() const { return plan_; }
  int64_t steps_done() const { return step_; }
  const Model& model() const { return *model_; }

 private:
  EvaluateOptions evaluate_options(Routing routing) const;

  std::shared_ptr<Model> model_;
  std::shared_ptr<Teacher> teacher_;
  const Dataset& dataset_;
  Plan plan_;
  Optimizer optimizer_;
  Loader loader_;
  int64_t step_ = 0;
  double tokens_ = 0;
};

}  // namespace pointwork
