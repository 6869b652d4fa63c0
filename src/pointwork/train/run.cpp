#include "pointwork/train/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/files/steps.h"
#include "pointwork/log/event_file.h"
#include "pointwork/log/metrics.h"
#include "pointwork/text/tokenizer.h"
#include "pointwork/train/machine.h"
#include "pointwork/train/run_start.h"
#include "pointwork/train/stop.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::string decimal(double loss) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", loss);
  return text;
}

// One run from its first step in this process to its last.
class Run {
 public:
  Run(const Config& config, const Dataset& dataset, const RunOptions& options, const RunView& view)
      : config_(config),
        options_(options),
        view_(view),
        start_(prepare_run(config, dataset, options, [&](const std::string& text) { say(text); })),
        tokenizer_(Tokenizer::load(dataset.folder())),
        dataset_hash_(dataset.hash()),
        trainer_(start_.model, dataset, start_.teacher),
        metrics_(options.out / "metrics.jsonl"),
        events_(options.out) {
    if (start_.trainer) {
      const TrainerState state = read_state(*start_.trainer);
      trainer_.restore(state);
      seconds_ = state.seconds;
      last_flops_ = state.flops;
      if (start_.saved_here) saved_ = trainer_.steps_done();
      start_.trainer.reset();  // the optimizer has its own copy
    }
    for (const std::string& fact : start_.facts) tell(fact);
    metrics_.resume_at(trainer_.steps_done());
    if (start_.existed) events_.resume_at(trainer_.steps_done());
    flops_ = model_flops(trainer_.model(), config_.train.sequence_length, trainer_.steps_done());
    write_run_json(options_.out, trainer_, dataset, options_);
  }

  RunResult go() {
    const StopSignals signals;
    forget_peak_memory(options_.device);
    const auto begin = Clock::now();
    mark_ = begin;
    RunResult result;
    result.steps = trainer_.plan().steps;
    while (!trainer_.finished()) {
      one_step();
      if (StopSignals::received() != 0) {
        result.end = RunEnd::signal;
        result.signal = StopSignals::received();
        break;
      }
      const bool late =
          config_.train.time_limit > 0 && seconds_since(begin) > config_.train.time_limit;
      if (late && !trainer_.finished()) {
        result.end = RunEnd::time_limit;
        break;
      }
    }
    read_steps(0);
    if (saved_ != trainer_.steps_done()) save();
    result.step = trainer_.steps_done();
    result.checkpoint = step_folder(checkpoints(), result.step);
    result.model = start_.model;
    return result;
  }

 private:
  fs::path checkpoints() const { return options_.out / "checkpoints"; }

  void say(const std::string& text) const {
    if (view_.note) view_.note(text);
  }

  void tell(const std::string& fact) const {
    if (view_.fact) view_.fact(fact);
  }

  // A GPU works on the next step while the figures of the last are read.
  void one_step() {
    pending_.push_back(trainer_.step());
    const int64_t step = trainer_.steps_done();
    const bool stops = trainer_.finished() || StopSignals::received() != 0;
    const bool all = options_.device.is_cpu() || stops || due(config_.evaluate.every, step) ||
                     due(config_.checkpoint.every, step);
    read_steps(all ? 0 : 1);
    if (due(config_.checkpoint.every, step)) save();
    mark_ = Clock::now();
  }

  static bool due(int64_t every, int64_t step) { return every > 0 && step % every == 0; }

  void read_steps(size_t left) {
    for (; pending_.size() > left; pending_.pop_front()) tell(pending_.front());
  }

  void tell(const StepOutcome& outcome) {
    const StepValues values = trainer_.read(outcome);
    const auto now = Clock::now();
    const double spent = std::chrono::duration<double>(now - mark_).count();
    mark_ = now;
    seconds_ += spent;
    const Plan& plan = trainer_.plan();
    const auto tokens = static_cast<double>(plan.tokens_per_step);
    pace_ = pace_ == 0 ? spent : pace_ + 0.1 * (spent - pace_);

    StepRecord record{.step = outcome.step,
                      .total_steps = plan.steps,
                      .loss = values.loss,
                      .learning_rate = outcome.learning_rate,
                      .grad_norm = values.grad_norm,
                      .predictor_grad_norm = values.predictor_grad_norm,
                      .soft_loss = values.soft_loss,
                      .skipped = values.skipped,
                      .tokens = outcome.tokens,
                      .flops = outcome.flops,
                      .seconds = seconds_,
                      .tokens_per_second = tokens / spent};
    const double peak = options_.peak_flops_per_second;
    record.mfu = peak > 0 ? (outcome.flops - last_flops_) / spent / peak : NAN;
    record.mfu_palm = peak > 0 ? flops_.palm_train * tokens / spent / peak : NAN;
    last_flops_ = outcome.flops;
    record.peak_memory_bytes = peak_memory_bytes(options_.device);
    record.eta_seconds = pace_ * static_cast<double>(plan.steps - outcome.step);
    if (values.skipped)
      say(concat("step ", outcome.step,
                 values.bad_router.empty()
                     ? " was skipped: its loss or gradient was not finite, or a spike"
                     : concat(" was skipped: the router of ", values.bad_router,
                              " gave scores that are no numbers")));

    if (outcome.step == plan.steps || due(config_.evaluate.every, outcome.step))
      evaluate_into(record);
    if (outcome.step == plan.steps) compare_with_teacher(record);
    const Json json = to_json(record);
    metrics_.append(json);
    write_events(record.step, json);
    if (view_.step) view_.step(record);
  }

  void evaluate_into(StepRecord& record) {
    if (!can_evaluate()) return;
    record.training = trainer_.evaluate(Routing::training);
    // Without a route both are the same forward pass.
    record.inference =
        record.training->layers.empty() ? record.training : trainer_.evaluate(Routing::inference);
    record.alarms = expert_alarms(expert_loads(record.training->layers));
    for (const std::string& text : alarms_.news(record.alarms)) say(text);
  }

  // How much of what the teacher is better by has come over.
  void compare_with_teacher(StepRecord& record) {
    if (!start_.teacher || !record.inference) return;
    const double student = record.inference->loss, dense = config_.distill.dense_loss;
    const double teacher = trainer_.evaluate_teacher().loss;
    record.teacher_loss = teacher;
    std::string text = concat("validation loss of the teacher ", decimal(teacher),
                              ", of the student ", decimal(student));
    if (dense > 0) {
      record.gain_kept = gain_kept(dense, student, teacher);
      text += concat(", without a teacher ", decimal(dense),
                     std::isfinite(*record.gain_kept)
                         ? concat(": ", std::lround(100 * *record.gain_kept),
                                  " % of the teacher's gain is kept")
                         : ": the teacher has no gain that could be kept");
    }
    tell(text);
  }

  bool can_evaluate() {
    if (!start_.has_validation && !told_)
      say("the data set has too few validation tokens for one sequence: no validation loss");
    told_ = true;
    return start_.has_validation;
  }

  void write_events(int64_t step, const Json& json) {
    std::vector<std::pair<std::string, double>> scalars;
    for (const auto& [name, value] : json.items()) {
      if (value.is_number() && name != "step") scalars.emplace_back(name, value.get<double>());
    }
    events_.add(step, scalars);
  }

  void save() {
    const int64_t step = trainer_.steps_done();
    TrainerFiles files = write_state(trainer_.state(), seconds_);
    if (start_.teacher) files.state["teacher"] = start_.teacher->hash();
    SaveContent content{.step = step,
                        .tokenizer = tokenizer_.to_json(),
                        .tokenizer_hash = tokenizer_.hash(),
                        .dataset_hash = dataset_hash_,
                        .end_of_text = {},
                        .trainer = std::move(files),
                        .carried = start_.carried,
                        .tokenizer_settings = start_.tokenizer_settings};
    if (const auto end = tokenizer_.find_end_of_text()) content.end_of_text = *end;
    // A folder of this step that is there was passed over as damaged.
    save_checkpoint(step_folder(checkpoints(), step), *start_.model, content, /*replace=*/true);
    prune_steps(checkpoints(), {.keep_last = config_.checkpoint.keep_last,
                                .keep_every = config_.checkpoint.keep_every});
    saved_ = step;
  }

  Config config_;
  RunOptions options_;
  RunView view_;
  RunStart start_;
  Tokenizer tokenizer_;
  std::string dataset_hash_;
  Trainer trainer_;
  MetricsFile metrics_;
  EventFile events_;
  ModelFlops flops_;
  AlarmMemory alarms_;
  std::deque<StepOutcome> pending_;  // launched, not yet told
  Clock::time_point mark_;           // since when the next step counts
  double seconds_ = 0, pace_ = 0, last_flops_ = 0;
  int64_t saved_ = -1;
  bool told_ = false;
};

}  // namespace

RunResult run_training(Config config, const RunOptions& options, const RunView& view) {
  const Dataset dataset(options.data);
  config = with_vocabulary(std::move(config), dataset);
  return Run(config, dataset, options, view).go();
}

}  // namespace pointwork
