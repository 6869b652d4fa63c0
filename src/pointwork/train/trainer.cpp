#include "pointwork/train/trainer.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/train/schedule.h"

namespace pointwork {
namespace {

LoaderOptions loader_options(const TrainConfig& train) {
  return {.sequences = train.batch_size,
          .length = train.sequence_length,
          .seed = static_cast<uint64_t>(train.seed)};
}

const Dataset& fitting(const Dataset& dataset, const Config& config) {
  check_fits(dataset, config);
  return dataset;
}

// State that a forward pass moves, such as thresholds. A step that is masked leaves it as it was.
class MovingState {
 public:
  explicit MovingState(const Model& model) : now_(model.buffers()) {
    for (const Tensor& buffer : now_) before_.push_back(buffer.clone());
  }
  void undo_where(const Tensor& skipped) const {
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < now_.size(); ++i)
      now_[i].copy_(torch::where(skipped.gt(0), before_[i], now_[i]));
  }

 private:
  std::vector<Tensor> now_, before_;
};

// Which routers' scores are all numbers, of one micro-batch after another.
void note_routers(const std::vector<Route>& routes, StepOutcome& outcome) {
  if (routes.empty()) return;
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> finite;
  outcome.routers.clear();
  for (const Route& route : routes) {
    outcome.routers.push_back(route.name);
    finite.push_back(route.logits.isfinite().all());
  }
  const Tensor all = torch::stack(finite);
  outcome.finite = outcome.finite.defined() ? outcome.finite.logical_and(all) : all;
}

int64_t targets_of(const Batch& batch) {
  return std::count_if(batch.target.begin(), batch.target.end(),
                       [](int32_t target) { return target >= 0; });
}

}  // namespace

void check_fits(const Dataset& dataset, const Config& config) {
  check(dataset.vocab_size() <= config.model.vocab_size, "data set ", dataset.folder().string(),
        " has ids up to ", dataset.vocab_size() - 1, " but model.vocab_size is ",
        config.model.vocab_size);
  const int64_t length = config.train.sequence_length, tokens = dataset.tokens(Split::train);
  check(tokens > length, "data set ", dataset.folder().string(), " has ", tokens,
        " training tokens, too few for one sequence of ", length, " + 1");
}

Trainer::Trainer(std::shared_ptr<Model> model, const Dataset& dataset,
                 std::shared_ptr<Teacher> teacher)
    : model_(std::move(model)),
      teacher_(std::move(teacher)),
      dataset_(fitting(dataset, model_->config())),
      plan_(make_plan(*model_)),
      optimizer_(*model_, model_->config().optimizer, model_->config().guard),
      loader_(dataset, Split::train, loader_options(model_->config().train)) {}

StepOutcome Trainer::step() {
  const Config& config = model_->config();
  std::vector<Batch> micro_batches;
  int64_t targets = 0;
  for (int64_t i = 0; i < config.train.gradient_accumulation_steps; ++i) {
    micro_batches.push_back(loader_.next());
    targets += targets_of(micro_batches.back());
  }
  StepOutcome outcome;
  const MovingState moving(*model_);
  Tensor loss =
      torch::zeros({}, torch::TensorOptions().dtype(torch::kFloat32).device(model_->device()));
  Tensor soft = torch::zeros_like(loss, torch::kFloat64);
  for (const Batch& batch : micro_batches) {
    const BatchTensors tensors =
        to_tensors(batch, model_->device(), {.document_mask = config.train.document_mask});
    Context ctx{.training = true, .step = step_, .seed = static_cast<uint64_t>(config.train.seed)};
    // First, as nothing is kept for a backward pass yet.
    std::optional<TaughtBy> taught;
    if (teacher_) taught = teacher_->targets(tensors);
    Losses losses =
        compute_losses(*model_, tensors, ctx, config.train.z_loss, taught ? &*taught : nullptr);
    // Each is a mean over its own targets; the step's is one over all of them, as in one large
    // batch.
    const double share = static_cast<double>(targets_of(batch)) / static_cast<double>(targets);
    (micro_batches.size() == 1 ? losses.total : losses.total * share).backward();
    optimizer_.accumulate();
    loss += losses.language.to(torch::kFloat32) * share;
    if (taught) soft += losses.soft_sum / static_cast<double>(targets);
    note_routers(losses.routes, outcome);
  }
  outcome.learning_rate =
      learning_rate_at(config.schedule, config.optimizer.learning_rate, step_, plan_.steps);
  outcome.loss = loss;
  if (teacher_) outcome.soft_loss = soft.to(torch::kFloat32);
  outcome.update = optimizer_.step(outcome.learning_rate, loss);
  model_->end_step();
  moving.undo_where(outcome.update.skipped);
  ++step_;
  tokens_ += static_cast<double>(plan_.tokens_per_step);
  outcome.step = step_;
  outcome.tokens = tokens_;
  outcome.flops = flops_until(*model_, step_);
  return outcome;
}

StepValues Trainer::read(const StepOutcome& outcome) const {
  const UpdateResult& update = outcome.update;
  const Tensor host = torch::stack({outcome.loss, update.grad_norm, update.predictor_grad_norm,
                                    update.skipped, update.skipped_in_row,
                                    outcome.soft_loss.defined() ? outcome.soft_loss : outcome.loss})
                          .to(torch::kCPU, torch::kFloat64);
  const double* value = host.data_ptr<double>();
  StepValues values{value[0], value[1], value[2], {}, value[3] != 0, ""};
  if (outcome.soft_loss.defined()) values.soft_loss = value[5];
  if (values.skipped && outcome.finite.defined()) {
    const Tensor finite = outcome.finite.cpu();
    for (size_t i = outcome.routers.size(); i-- > 0;)
      if (!finite[static_cast<int64_t>(i)].item<bool>()) values.bad_router = outcome.routers[i];
  }
  const double in_row = value[4];
  const GuardConfig& guard = model_->config().guard;
  check(in_row < static_cast<double>(guard.max_skipped), "training stopped at step ", outcome.step,
        ": ", in_row,
        " steps in a row had a gradient or loss that is not finite, or a norm above "
        "guard.spike_factor = ",
        guard.spike_factor, " times its average (last loss ", values.loss, ", gradient norm ",
        values.grad_norm,
        values.bad_router.empty()
            ? ""
            : concat(", and the router of ", values.bad_router, " gave scores that are no numbers"),
        "); the weights are those before them. Lower optimizer.learning_rate, or look at the data");
  return values;
}

EvaluateOptions Trainer::evaluate_options(Routing routing) const {
  const Config& config = model_->config();
  return {.routing = routing,
          .sequences = config.evaluate.sequences,
          .length = config.train.sequence_length,
          .batch = config.train.batch_size,
          .document_mask = config.train.document_mask,
          .step = step_,
          .seed = static_cast<uint64_t>(config.train.seed)};
}

Evaluation Trainer::evaluate(Routing routing) {
  return pointwork::evaluate(*model_, dataset_, evaluate_options(routing));
}

Evaluation Trainer::evaluate_teacher() {
  check(teacher_ != nullptr, "[trainer] there is no teacher to evaluate");
  return teacher_->evaluate(dataset_, evaluate_options(Routing::inference));
}

TrainerState Trainer::state() const {
  return {.step = step_,
          .loader = loader_.state(),
          .tokens = tokens_,
          .flops = flops_until(*model_, step_),
          .optimizer = optimizer_.state()};
}

void Trainer::restore(const TrainerState& state) {
  optimizer_.restore(state.optimizer);
  loader_.restore(state.loader);
  step_ = state.step;
  tokens_ = state.tokens;
}

}  // namespace pointwork
