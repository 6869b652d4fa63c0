// train: the tour of the data path. Configuration → data set → model → run_training → page.

#include <cmath>
#include <cstdio>

#include "apps/common.h"
#include "apps/figures.h"
#include "apps/showcase.h"
#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/log/train_line.h"
#include "pointwork/report/report.h"
#include "pointwork/train/machine.h"
#include "pointwork/train/run.h"

namespace pointwork::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string file, data, out, resume = "auto";
  bool dry_run = false, force = false;
};

// Share of a large matrix product's speed that a whole training step is expected to reach, before
// anything was measured.
constexpr double kExpectedMfu = 0.5;

int dry_run(const Options& options, const Common& common, torch::Device device) {
  Config config = load_config(options.file, common.overrides);
  Json json;
  double epochs = 0;
  if (!options.data.empty()) {
    const Dataset dataset(options.data);
    config = with_vocabulary(config, dataset);
    epochs = static_cast<double>(dataset.tokens(Split::train));
  }
  check(config.model.vocab_size > 0, options.file,
        ": model.vocab_size is 0 (the data set's); give --data DIR or --model.vocab_size=N");
  const Model model(config), twin(dense_twin(config));
  const Figures figures = figures_of(model, twin);
  const Plan plan = make_plan(model);
  const double tokens = static_cast<double>(plan.steps * plan.tokens_per_step);
  const torch::Dtype dtype =
      config.train.precision == Precision::bfloat16 ? torch::kBFloat16 : torch::kFloat32;
  const double seconds =
      plan.flops / (kExpectedMfu * gemm_peak_flops_per_second(dtype, device, 0.3));
  json = to_json(figures);
  json["steps"] = plan.steps;
  json["tokens_per_step"] = plan.tokens_per_step;
  json["tokens"] = tokens;
  json["flops"] = plan.flops;
  json["expected_seconds"] = seconds;
  if (epochs > 0) json["epochs"] = tokens / epochs;
  json["parts"] = Json::array();
  for (const FlopPart& part : figures.routed.parts) {
    json["parts"].push_back({{"name", part.name},
                             {"flops", part.flops / static_cast<double>(figures.length)},
                             {"parameters", part.parameters}});
  }
  if (common.json) {
    print_json(json);
    return 0;
  }
  const auto& f = figures.routed.expected;
  const auto& d = figures.dense.expected;
  std::printf("parameters         %s (active a token: %s)\n",
              in_units(figures.routed.parameters).c_str(),
              in_units(figures.routed.active_parameters).c_str());
  std::printf("FLOPs a token      %s forward, %s training (dense twin %s, %s)\n",
              in_units(f.forward).c_str(), in_units(f.train).c_str(), in_units(d.forward).c_str(),
              in_units(d.train).c_str());
  std::printf("run                %lld steps of %lld tokens: %s tokens%s, %sFLOPs\n",
              static_cast<long long>(plan.steps), static_cast<long long>(plan.tokens_per_step),
              in_units(tokens).c_str(),
              epochs > 0
                  ? concat(" (", std::lround(100 * tokens / epochs) / 100.0, " epochs)").c_str()
                  : "",
              in_units(plan.flops).c_str());
  std::printf("memory             about %s (weights %s, optimizer %s, activations %s)\n",
              in_bytes(figures.memory.total()).c_str(), in_bytes(figures.memory.weights).c_str(),
              in_bytes(figures.memory.optimizer).c_str(),
              in_bytes(figures.memory.activations).c_str());
  std::printf("expected time      about %s at half of this machine's speed of matrix products\n",
              duration_text(seconds).c_str());
  return 0;
}

TrainLine line_of(const StepRecord& r) {
  TrainLine line;
  line.step = r.step;
  line.total_steps = r.total_steps;
  line.loss = r.loss;
  line.learning_rate = r.learning_rate;
  line.grad_norm = r.grad_norm;
  line.tokens_per_second = r.tokens_per_second;
  line.mfu = r.mfu;
  line.peak_memory_bytes = static_cast<double>(r.peak_memory_bytes);
  line.eta_seconds = r.eta_seconds;
  return line;
}

// Evaluations come seldom; the line goes on showing the last.
class Watcher {
 public:
  explicit Watcher(const Common& common)
      : common_(common), display_({.quiet = common.quiet || common.json}) {}

  RunView view() {
    return {.note =
                [this](const std::string& text) {
                  if (common_.json)
                    note(text);
                  else
                    display_.message(text);
                },
            .step = [this](const StepRecord& record) { step(record); }};
  }
  void finish() { display_.finish(); }

 private:
  void step(const StepRecord& record) {
    if (common_.json) {
      print_json(to_json(record));
      std::fflush(stdout);
      return;
    }
    if (record.inference) {
      validation_ = record.inference->loss;
      if (!record.training->layers.empty()) {
        routed_ = record.inference->routed_share;
        agreement_ = record.training->decision.accuracy;
      }
    }
    pace_ =
        pace_ == 0 ? record.tokens_per_second : pace_ + 0.1 * (record.tokens_per_second - pace_);
    TrainLine line = line_of(record);
    line.tokens_per_second = pace_;
    line.validation_loss = validation_;
    line.routed_share = routed_;
    line.agreement = agreement_;
    display_.update(line);
  }

  const Common& common_;
  TrainDisplay display_;
  std::optional<double> validation_, routed_, agreement_;
  double pace_ = 0;
};

fs::path run_folder(const Options& options) {
  return options.out.empty() ? fs::path("runs") / fs::path(options.file).stem()
                             : fs::path(options.out);
}

int run(const Options& options, const Common& common) {
  const torch::Device device = choose_device(common);
  if (options.dry_run) return dry_run(options, common, device);
  if (options.data.empty())
    throw UsageError("--data DIR is needed: a data set made by `pointwork prepare`");
  keep_freed_memory();
  const Config config = load_config(options.file, common.overrides);
  const torch::Dtype dtype =
      config.train.precision == Precision::bfloat16 ? torch::kBFloat16 : torch::kFloat32;
  RunOptions how{.data = options.data,
                 .out = run_folder(options),
                 .resume = options.resume,
                 .force = options.force,
                 .name = fs::absolute(run_folder(options)).lexically_normal().filename().string(),
                 .device = device,
                 .peak_flops_per_second = gemm_peak_flops_per_second(dtype, device, 0.3)};
  Watcher watcher(common);
  const RunResult result = run_training(config, how, watcher.view());
  watcher.finish();
  if (result.end == RunEnd::signal) {
    if (!common.quiet)
      note(concat("stopped by a signal at step ", result.step, "; saved in ",
                  result.checkpoint.string(), "; the same command goes on"));
    return 128 + result.signal;
  }
  if (result.end == RunEnd::time_limit) {
    if (!common.quiet)
      note(concat("time limit at step ", result.step, " of ", result.steps, "; saved in ",
                  result.checkpoint.string(), "; the same command goes on"));
    return 0;
  }
  write_showcase(how.out, *result.model, Dataset(options.data), result.step);
  write_file(how.out / "report.html", report_html({how.out}));
  if (!common.quiet)
    note(
        concat("done: ", result.checkpoint.string(), "; see ", (how.out / "report.html").string()));
  return 0;
}

}  // namespace

Run add_train(CLI::App& command, Common& common) {
  const auto o = std::make_shared<Options>();
  command.add_option("CONFIG", o->file, "a TOML file")->required();
  command.add_option("--data", o->data, "a data set made by `pointwork prepare`");
  command.add_option("--out", o->out, "the run's folder; default: runs/NAME_OF_CONFIG");
  command
      .add_option("--resume", o->resume,
                  "auto: go on where --out stands; never: --out must be new; else a checkpoint to "
                  "go on from")
      ->capture_default_str();
  command.add_flag("--force", o->force, "replace a run that is there");
  command.add_flag("--dry-run", o->dry_run, "say what it would take; nothing is run");
  command.footer(
      "SIGINT and SIGTERM save and stop after the step; the same command goes on from there, to "
      "the same bits.\n"
      "Examples:\n"
      "  pointwork train configs/quickstart-mod.toml --data data/quickstart --out "
      "runs/quickstart-mod\n"
      "  pointwork train configs/mod.toml --data data/wikipedia --train.flops=1e15 --dry-run");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
