#include "pointwork/train/trainer.h"

#include "pointwork/base/check.h"
#include "pointwork/train/schedule.h"

namespace pointwork {
namespace {

LoaderOptions loader_options(const TrainConfig& train) {
  return {.sequences = train.batch_size, .length = train.sequence_length, .seed = static_cast<uint64_t>(train.seed)};
}

const Dataset& fitting(const Dataset& dataset, const Model& model) {
  const Config& config = model.config();
  check(dataset.vocab_size() <= config.model.vocab_size, "data set ", dataset.folder().string(), " has ids up to ",
        dataset.vocab_size() - 1, " but model.vocab_size is ", config.model.vocab_size);
  check(dataset.windows(Split::train, config.train.sequence_length) > 0, "data set ", dataset.folder().string(), " has ",
        dataset.tokens(Split::train), " training tokens, too few for one sequence of ", config.train.sequence_length, " + 1");
  return dataset;
}

}  // namespace

Trainer::Trainer(std::shared_ptr<Model> model, const Dataset& dataset)
    : model_(std::move(model)),
      dataset_(fitting(dataset, *model_)),
      plan_(make_plan(*model_)),
      optimizer_(*model_, model_->config().optimizer, model_->config().guard),
      loader_(dataset, Split::train, loader_options(model_->config().train)) {}

StepOutcome Trainer::step() {
  const Config& config = model_->config();
  const int64_t micro_batches = config.train.gradient_accumulation_steps;
  Tensor loss = torch::zeros({}, torch::TensorOptions().dtype(torch::kFloat32).device(model_->device()));
  for (int64_t i = 0; i < micro_batches; ++i) {
    const BatchTensors batch =
        to_tensors(loader_.next(), model_->device(), {.document_mask = config.train.document_mask});
    Context ctx{.training = true, .step = step_, .seed = static_cast<uint64_t>(config.train.seed)};
    Losses losses = compute_losses(*model_, batch, ctx, config.train.z_loss);
    (micro_batches == 1 ? losses.total : losses.total / static_cast<double>(micro_batches)).backward();
    optimizer_.accumulate();
    loss += losses.language.to(torch::kFloat32) / static_cast<double>(micro_batches);
    stats_.add(losses.routes);
  }
  StepOutcome outcome;
  outcome.learning_rate = learning_rate_at(config.schedule, config.optimizer.learning_rate, step_, plan_.steps);
  const UpdateResult update = optimizer_.step(outcome.learning_rate, loss);
  ++step_;
  tokens_ += static_cast<double>(plan_.tokens_per_step);

  outcome.step = step_;
  outcome.loss = loss.item<double>();
  outcome.grad_norm = update.grad_norm.item<double>();
  outcome.predictor_grad_norm = update.predictor_grad_norm.item<double>();
  outcome.skipped = update.skipped.item<double>() != 0;
  outcome.tokens = tokens_;
  outcome.flops = flops_until(*model_, step_);
  skipped_ += outcome.skipped;
  const double in_row = update.skipped_in_row.item<double>();
  check(in_row < static_cast<double>(config.guard.max_skipped), "training stopped at step ", step_, ": ", in_row,
        " steps in a row had a gradient or loss that is not finite, or a norm above guard.spike_factor = ",
        config.guard.spike_factor, " times its average (last loss ", outcome.loss, ", gradient norm ", outcome.grad_norm,
        "); the weights are those before them. Lower optimizer.learning_rate, or look at the data");
  return outcome;
}

Evaluation Trainer::evaluate(Routing routing) {
  const Config& config = model_->config();
  return pointwork::evaluate(*model_, dataset_,
                             {.routing = routing,
                              .sequences = config.evaluate.sequences,
                              .length = config.train.sequence_length,
                              .batch = config.train.batch_size,
                              .document_mask = config.train.document_mask,
                              .step = step_,
                              .seed = static_cast<uint64_t>(config.train.seed)});
}

TrainerState Trainer::state() const {
  return {.step = step_, .loader = loader_.state(), .tokens = tokens_, .flops = flops_until(*model_, step_),
          .skipped = skipped_, .optimizer = optimizer_.state()};
}

void Trainer::restore(const TrainerState& state) {
  optimizer_.restore(state.optimizer);
  loader_.restore(state.loader);
  step_ = state.step;
  tokens_ = state.tokens;
  skipped_ = state.skipped;
}

std::vector<RouteStats> Trainer::take_stats() {
  const std::vector<RouteStats> stats = stats_.read();
  stats_ = RouteStatsSum();
  return stats;
}

}  // namespace pointwork
