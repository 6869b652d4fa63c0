// train: the tour of the data path. Configuration → data set → model → run_training → page.

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "apps/common.h"
#include "apps/figures.h"
#include "apps/showcase.h"
#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/log/train_line.h"
#include "pointwork/log/units.h"
#include "pointwork/model/weightless.h"
#include "pointwork/report/report.h"
#include "pointwork/train/machine.h"
#include "pointwork/train/run.h"

namespace pointwork::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string file, data, out, resume = "auto", init;
  bool dry_run = false, force = false;
};

// Share of a large matrix product's speed that a whole training step is expected to reach, before
// anything was measured.
constexpr double kExpectedMfu = 0.5;

struct Outlook {
  Figures figures;
  Plan plan;
  double tokens = 0, epochs = 0;  // of the whole run; epochs 0: no data set was given
  double seconds = 0;
  double free_memory = 0;
  std::optional<Checkpoint> teacher;
  double teacher_parameters = 0, teacher_flops = 0;  // forward, a token; not among the run's
};

void ask_teacher(const Config& config, const std::string& tokenizer_hash, Outlook& out,
                 std::shared_ptr<Model>& teacher) {
  if (config.distill.teacher.empty()) return;
  out.teacher = open_teacher(config, tokenizer_hash);
  teacher = std::make_shared<Model>(out.teacher->config);
  out.teacher_parameters = static_cast<double>(teacher->parameter_count());
  out.teacher_flops =
      model_flops(*teacher, config.train.sequence_length, out.teacher->step).expected.decode;
}

Outlook outlook_of(const Options& options, const Common& common, torch::Device device) {
  Config config = load_config(options.file, common.overrides);
  double corpus = 0;
  std::string tokenizer;
  if (!options.data.empty()) {
    const Dataset dataset(options.data);
    config = with_vocabulary(config, dataset);
    check_fits(dataset, config);
    tokenizer = dataset.tokenizer_hash();
    corpus = static_cast<double>(dataset.tokens(Split::train));
  }
  check(config.model.vocab_size > 0, options.file,
        ": model.vocab_size is 0 (the data set's); give --data DIR or --model.vocab_size=N");
  const torch::Dtype dtype =
      config.train.precision == Precision::bfloat16 ? torch::kBFloat16 : torch::kFloat32;
  const double speed = kExpectedMfu * gemm_peak_flops_per_second(dtype, device, 0.3);
  const Weightless weightless;
  const Model model(config), twin(dense_twin(config));
  Outlook out;
  std::shared_ptr<Model> teacher;
  ask_teacher(config, tokenizer, out, teacher);
  out.figures = figures_of(model, twin, teacher.get());
  out.plan = make_plan(model);
  out.tokens = static_cast<double>(out.plan.steps * out.plan.tokens_per_step);
  out.epochs = corpus > 0 ? out.tokens / corpus : 0;
  out.seconds = (out.plan.flops + out.tokens * out.teacher_flops) / speed;
  out.free_memory = static_cast<double>(available_memory_bytes(device));
  return out;
}

Json to_json(const Outlook& o) {
  Json json = to_json(o.figures);
  json["available_memory_bytes"] = static_cast<int64_t>(o.free_memory);
  json["steps"] = o.plan.steps;
  json["tokens_per_step"] = o.plan.tokens_per_step;
  json["tokens"] = static_cast<int64_t>(o.tokens);
  json["flops"] = o.plan.flops;
  json["expected_seconds"] = o.seconds;
  if (o.epochs > 0) json["epochs"] = o.epochs;
  if (o.teacher)
    json["teacher"] = {{"checkpoint", o.teacher->folder.string()},
                       {"step", o.teacher->step},
                       {"parameters", static_cast<int64_t>(o.teacher_parameters)},
                       {"flops_per_token", o.teacher_flops}};
  json["parts"] = parts_json(o.figures.routed.parts, 1 / static_cast<double>(o.figures.length));
  return json;
}

int dry_run(const Options& options, const Common& common, torch::Device device) {
  const Outlook outlook = outlook_of(options, common, device);
  const Figures& figures = outlook.figures;
  const Plan& plan = outlook.plan;
  const MemoryEstimate& memory = figures.memory;
  if (memory.total() > outlook.free_memory && !common.quiet)
    note(concat("warning: ", in_bytes(memory.total()), " of memory are needed, and ",
                in_bytes(outlook.free_memory), " are free"));
  if (common.json) {
    print_json(to_json(outlook));
    return 0;
  }
  const PhaseFlops& f = figures.routed.expected;
  const PhaseFlops& d = figures.dense.expected;
  const auto line = [](const char* name, const std::string& value) {
    std::printf("%-18s %s\n", name, value.c_str());
  };
  line("parameters", concat(in_units(figures.routed.parameters),
                            " (active a token: ", in_units(figures.routed.active_parameters), ")"));
  line("FLOPs a token",
       concat(in_units(f.forward), " forward, ", in_units(f.train), " training (dense twin ",
              in_units(d.forward), ", ", in_units(d.train), ")"));
  const std::string epochs =
      outlook.epochs > 0 ? concat(" (", std::lround(100 * outlook.epochs) / 100.0, " epochs)") : "";
  line("run", concat(plan.steps, " steps of ", plan.tokens_per_step, " tokens: ",
                     in_units(outlook.tokens), " tokens", epochs, ", ", flops_text(plan.flops)));
  if (outlook.teacher)
    line("teacher", concat(outlook.teacher->folder.string(), ", step ", outlook.teacher->step, ": ",
                           in_units(outlook.teacher_parameters), " parameters, ",
                           in_units(outlook.teacher_flops),
                           " FLOPs a token besides, which the run's do not count"));
  line("memory", concat("about ", in_bytes(memory.total()), " (weights ", in_bytes(memory.weights),
                        ", optimizer ", in_bytes(memory.optimizer), ", activations ",
                        in_bytes(memory.activations), ", head ", in_bytes(memory.head),
                        memory.teacher > 0 ? ", teacher " + in_bytes(memory.teacher) : "",
                        ", LibTorch ", in_bytes(memory.library), ")"));
  line("expected time", concat("about ", duration_text(outlook.seconds),
                               " at half of this machine's speed of matrix products"));
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

bool all_by_token(const std::vector<RouteStats>& layers) {
  return std::all_of(layers.begin(), layers.end(),
                     [](const RouteStats& layer) { return layer.experts.has_value(); });
}

// Evaluations come seldom; the line goes on showing the last.
class Watcher {
 public:
  explicit Watcher(const Common& common)
      : common_(common), display_({.quiet = common.quiet || common.json}) {}

  RunView view() {
    // What a run has to say is a warning: of a damaged checkpoint, a step that was skipped.
    return {.note =
                [this](const std::string& text) {
                  if (common_.json) {
                    note(text);
                  } else {
                    display_.warning(text);
                  }
                },
            .fact =
                [this](const std::string& text) {
                  if (!common_.json) {
                    display_.message(text);
                  } else if (!common_.quiet) {
                    note(text);
                  }
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
        // A token's own choice is its decision in every phase.
        if (!all_by_token(record.training->layers)) agreement_ = record.training->decision.accuracy;
      }
    }
    smooth(pace_, record.tokens_per_second);
    smooth(mfu_, record.mfu);
    TrainLine line = line_of(record);
    line.tokens_per_second = pace_;
    line.mfu = mfu_;
    line.validation_loss = validation_;
    line.routed_share = routed_;
    line.agreement = agreement_;
    display_.update(line);
  }

  // A single step's speed jumps too much to be read.
  static void smooth(double& shown, double latest) {
    shown = shown == 0 ? latest : shown + 0.1 * (latest - shown);
  }

  const Common& common_;
  TrainDisplay display_;
  std::optional<double> validation_, routed_, agreement_;
  double pace_ = 0, mfu_ = 0;
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
  if (!options.init.empty() && options.resume != "auto" && options.resume != "never")
    throw UsageError(
        "--init and --resume PATH cannot both be given: --resume goes on with the trainer's state, "
        "--init begins anew with the weights alone");
  const Config config = load_config(options.file, common.overrides);
  {
    // Before the machine is measured: what is wrong with the data is told at once.
    const Dataset dataset(options.data);
    check_fits(dataset, with_vocabulary(config, dataset));
  }
  const torch::Dtype dtype =
      config.train.precision == Precision::bfloat16 ? torch::kBFloat16 : torch::kFloat32;
  RunOptions how{.data = options.data,
                 .out = run_folder(options),
                 .resume = options.resume,
                 .init = options.init,
                 .force = options.force,
                 .name = fs::absolute(run_folder(options)).lexically_normal().filename().string(),
                 .device = device,
                 .peak_flops_per_second = gemm_peak_flops_per_second(dtype, device, 0.3)};
  keep_freed_memory();
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
  command.add_option("--data", o->data, "a data set made by `pointwork prepare`")->type_name("DIR");
  command.add_option("--out", o->out, "the run's folder (default: runs/NAME_OF_CONFIG)")
      ->type_name("DIR");
  command
      .add_option("--resume", o->resume,
                  "auto: go on where --out stands; never: --out must be new; PATH: go on from this "
                  "checkpoint or run")
      ->type_name("auto|never|PATH")
      ->capture_default_str();
  command
      .add_option("--init", o->init,
                  "a new run begins with the weights of this checkpoint or run, at step 0, on any "
                  "data of the same tokenizer; of --out that goes on it changes nothing")
      ->type_name("PATH");
  command.add_flag("--force", o->force, "replace a run that is there");
  command.add_flag("--dry-run", o->dry_run, "say what it would take; nothing is run");
  command.footer(
      "SIGINT and SIGTERM save and stop after the step; the same command goes on from there, to "
      "the same bits.\n"
      "With --distill.teacher=PATH another model teaches this one; flops and MFU count the student "
      "alone. `pointwork convert --upcycle` makes a mixture of experts to go on from.\n"
      "Examples:\n"
      "  pointwork train configs/quickstart-mod.toml --data quickstart/bible/data --out "
      "quickstart/bible/mod\n"
      "  pointwork train configs/quickstart-dense.toml --data quickstart/bible/data --out "
      "runs/taught --distill.teacher=quickstart/bible/mod --train.steps=20\n"
      "  pointwork train configs/mod.toml --train.flops=1e15 --dry-run");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
