#include "pointwork/train/run_start.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/model/weightless.h"
#include "pointwork/text/tokenizer.h"
#include "pointwork/train/machine.h"
#include "pointwork/train/memory.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Note = std::function<void(const std::string&)>;

constexpr const char* kConfig = "pointwork.toml";

// Keys that change no weight, so a run may go on with others.
bool harmless(const std::string& key) {
  return key == "train.time_limit" || key == "distill.dense_loss" ||
         key.rfind("evaluate.", 0) == 0 || key.rfind("checkpoint.", 0) == 0;
}

void check_unchanged(const Config& before, const Config& now, const std::string& where) {
  std::string changed;
  for (const std::string& key : changed_keys(before, now)) {
    if (!harmless(key)) changed += (changed.empty() ? "" : ", ") + key;
  }
  check(changed.empty(), where, " was started with another config; changed: ", changed,
        " (take another --out, or --force to begin anew)");
}

std::string gib(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", bytes / (1 << 30));
  return text;
}

void check_memory(const Model& model, const std::optional<Checkpoint>& teacher,
                  torch::Device device) {
  if (!device.is_cpu()) return;
  std::optional<Model> taught_by;
  if (teacher) taught_by.emplace(teacher->config);
  const double need = training_memory(model, taught_by ? &*taught_by : nullptr).total();
  const auto have = static_cast<double>(available_memory_bytes(device));
  check(need <= have, "training needs about ", gib(need), " of memory, and ", gib(have),
        " are free; lower train.batch_size (and raise train.gradient_accumulation_steps), or the "
        "model's sizes");
}

// Of each parameter: its value, two moments and, with bfloat16, the master.
void check_disk(const Model& model, const fs::path& out) {
  const Config& config = model.config();
  const double each = static_cast<double>(model.parameter_count()) *
                      (config.train.precision == Precision::bfloat16 ? 14 : 12);
  const auto there = static_cast<int64_t>(list_steps(out / "checkpoints").size());
  const double need =
      each * static_cast<double>(std::max<int64_t>(1, config.checkpoint.keep_last + 1 - there));
  std::error_code error;
  fs::path at = fs::absolute(out, error);
  while (!fs::exists(at, error) && at.has_relative_path()) at = at.parent_path();
  const auto space = fs::space(at, error);
  check(error || static_cast<double>(space.available) >= need, "checkpoints in ", out.string(),
        " need about ", gib(need), " of disk, and ", gib(static_cast<double>(space.available)),
        " are free at ", at.string());
}

void check_tokenizer(const Dataset& dataset) {
  check(Tokenizer::load(dataset.folder()).hash() == dataset.tokenizer_hash(), "data set ",
        dataset.folder().string(),
        ": its tokenizer.json is not the tokenizer its tokens were made with");
}

// The run's folder; one that was made for a run which then could not begin goes again.
class RunFolder {
 public:
  explicit RunFolder(const fs::path& out) : out_(out) {
    std::error_code error;
    check(!fs::exists(out, error) || fs::is_directory(out, error), out.string(),
          " is a file, expected a folder for the run");
    made_ = fs::create_directories(out, error);
    check(!error, "cannot make the run's folder ", out.string(), ": ", error.message());
  }
  ~RunFolder() {
    if (!made_) return;
    std::error_code ignored;
    fs::remove(out_ / ".lock", ignored);
    fs::remove(out_, ignored);  // only if nothing else is there
  }
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  void keep() { made_ = false; }

 private:
  fs::path out_;
  bool made_ = false;
};

void check_own_tokenizer(const Checkpoint& checkpoint, const Dataset& dataset) {
  check(checkpoint.tokenizer_hash == dataset.tokenizer_hash(), "checkpoint ",
        checkpoint.folder.string(), " was trained with another tokenizer than data set ",
        dataset.folder().string(), " has");
}

void take_checkpoint(const Checkpoint& checkpoint, const Config& config, const Dataset& dataset,
                     torch::Device device, RunStart& start) {
  check_unchanged(checkpoint.config, config, concat("checkpoint ", checkpoint.folder.string()));
  check_own_tokenizer(checkpoint, dataset);
  check(checkpoint.dataset_hash == dataset.hash(), "checkpoint ", checkpoint.folder.string(),
        " was trained on another data set than ", dataset.folder().string(),
        ", so its place in the data means nothing there");
  start.model = load_model(checkpoint, device);
  start.trainer = load_trainer(checkpoint);
  start.carried = checkpoint.carried;
  start.tokenizer_settings = checkpoint.tokenizer_settings;
}

// A run that begins anew: weights by the seed, those of --init, or what a teacher has of them.
void take_first_weights(const std::optional<Checkpoint>& init, const Config& config,
                        torch::Device device, RunStart& start) {
  Model& model = *start.model;
  if (init) {
    std::string others;
    for (const std::string& key : changed_keys(init->config, config)) {
      if (key.starts_with("model.") || key.starts_with("branch."))
        others += (others.empty() ? "" : ", ") + key;
    }
    convert(model, init->dtype, torch::kCPU);
    try {
      load_weights(*init, model);
    } catch (const Error& error) {
      if (others.empty()) throw;
      fail(error.what(),
           "; it is of another model than the configuration (`pointwork convert` makes experts, "
           "modules or depths of a dense one)");
    }
    start.carried = init->carried;
    start.tokenizer_settings = init->tokenizer_settings;
    start.facts.push_back(concat("the weights are those of ", init->folder.string(),
                                 others.empty() ? "" : ", which had other keys: ", others));
  } else {
    initialise(model, static_cast<uint64_t>(config.train.seed));
  }
  convert(model, config.train.precision == Precision::bfloat16 ? torch::kBFloat16 : torch::kFloat32,
          device);
  if (init || !start.teacher || !config.distill.initialise) return;
  start.facts.push_back(told(inherit(model, start.teacher->model())));
}

// One that has changed since would teach something else.
void check_same_teacher(const RunStart& start, const Checkpoint& from) {
  if (!start.teacher) return;
  const std::string before = start.trainer->state.value("teacher", "");
  check(before == start.teacher->hash(), "checkpoint ", from.folder.string(),
        " was taught by another checkpoint than distill.teacher is now, ", start.teacher->name(),
        "; name the old one, or --force begins anew");
}

// What write_file() was writing when its process died.
bool is_leftover(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  const size_t at = name.rfind(".tmp-");
  return at != std::string::npos && entry.is_regular_file() &&
         name.find_first_not_of("0123456789", at + 5) == std::string::npos;
}

// The config last: until then the folder can be told to be a run.
void clear_run(const fs::path& out) {
  std::vector<fs::path> events;
  for (const auto& entry : fs::directory_iterator(out)) {
    if (entry.path().filename().string().rfind("events.out.tfevents", 0) == 0)
      events.push_back(entry.path());
  }
  for (const fs::path& file : events) fs::remove(file);
  for (const char* name : {"checkpoints", "metrics.jsonl", "run.json", "routing.json",
                           "samples.json", "bench.json", "report.html", kConfig}) {
    fs::remove_all(out / name);
  }
}

// The lock says that no other process is at it.
void clear_leftovers(const fs::path& out) {
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(out)) {
    if (is_leftover(entry)) left.push_back(entry.path());
  }
  for (const fs::path& file : left) fs::remove(file);
  prune_steps(out / "checkpoints", {.keep_last = INT64_MAX});
}

bool holds_other_things(const fs::path& out) {
  for (const auto& entry : fs::directory_iterator(out)) {
    if (entry.path().filename() != ".lock" && !is_leftover(entry)) return true;
  }
  return false;
}

// Where the run stands; none: it begins anew.
std::optional<Checkpoint> newest_of(const fs::path& out, const Note& note) {
  const fs::path steps = out / "checkpoints";
  if (list_steps(steps).empty()) return std::nullopt;
  std::string last;
  const auto step = newest_valid_step(steps, [&](const std::string& why) {
    last = why;
    note(why);
  });
  check(step.has_value(), "run ", out.string(), " has no valid checkpoint to go on from (", last,
        "); --force begins anew");
  return open_checkpoint(step_folder(steps, *step));
}

bool lies_in(const Checkpoint& checkpoint, const fs::path& out) {
  std::error_code error;
  return fs::equivalent(fs::absolute(checkpoint.folder).parent_path(), out / "checkpoints", error);
}

// A checkpoint given by path must not lie behind what `out` has reached: that would be lost.
void check_not_behind(const Checkpoint& from, const fs::path& out) {
  const std::vector<int64_t> steps = list_steps(out / "checkpoints");
  check(steps.empty() || steps.back() <= from.step, "run ", out.string(), " has step ",
        steps.empty() ? 0 : steps.back(), " already, beyond step ", from.step, " of ",
        from.folder.string(), " (--resume auto goes on there, --force replaces it)");
}

}  // namespace

Config with_vocabulary(Config config, const Dataset& dataset) {
  if (config.model.vocab_size == 0) config.model.vocab_size = dataset.vocab_size();
  return config;
}

RunStart prepare_run(const Config& config, const Dataset& dataset, const RunOptions& options,
                     const Note& note) {
  // Nothing is written before all that can be known is checked.
  const fs::path& out = options.out;
  check_tokenizer(dataset);
  check_fits(dataset, config);
  const bool from_elsewhere = options.resume != "auto" && options.resume != "never";
  std::optional<Checkpoint> from, init, teacher;
  if (from_elsewhere) from = open_checkpoint(options.resume, note);
  const bool anew = options.force || list_steps(out / "checkpoints").empty();
  if (anew && !options.init.empty()) {
    init = open_checkpoint(options.init, note);
    check_own_tokenizer(*init, dataset);
  }
  if (!config.distill.teacher.empty()) {
    teacher = open_teacher(config, dataset.tokenizer_hash(), note);
    check(!lies_in(*teacher, out), "distill.teacher is ", teacher->folder.string(),
          ", a checkpoint of the run itself");
  }
  RunStart start;
  start.has_validation = dataset.windows(Split::validation, config.train.sequence_length) > 0;
  {
    const Weightless weightless;  // counted before it takes memory
    check_memory(Model(config), teacher, options.device);
  }
  start.model = std::make_shared<Model>(config);
  check_disk(*start.model, out);

  RunFolder folder(out);
  // Before the lock, which would already be something in a folder that is none of ours.
  check(fs::exists(out / kConfig) || !holds_other_things(out), out.string(),
        " is not empty and no run; give another --out");
  start.lock = std::make_shared<RunLock>(out);
  start.existed = fs::exists(out / kConfig);
  clear_leftovers(out);
  const bool replaces = start.existed && options.force;
  if (start.existed && !replaces) {
    check(options.resume != "never", "run ", out.string(),
          " exists already (--resume auto goes on with it, --force replaces it)");
    check_unchanged(load_config(out / kConfig), config, "run " + out.string());
    if (from)
      check_not_behind(*from, out);
    else
      from = newest_of(out, note);
  }
  start.saved_here = from && lies_in(*from, out);
  if (teacher) start.teacher = std::make_shared<Teacher>(*teacher, config, options.device);
  if (from) {
    take_checkpoint(*from, config, dataset, options.device, start);
    check_same_teacher(start, *from);
  } else {
    take_first_weights(init, config, options.device, start);
  }
  if (replaces && start.saved_here) {
    for (const int64_t step : list_steps(out / "checkpoints")) {
      if (step > from->step) fs::remove_all(step_folder(out / "checkpoints", step));
    }
  } else if (replaces) {
    clear_run(out);
    start.existed = false;
  }
  write_file(out / kConfig, to_toml(config));
  folder.keep();
  fs::create_directories(out / "checkpoints");
  return start;
}

void write_run_json(const fs::path& out, const Trainer& trainer, const Dataset& dataset,
                    const RunOptions& options) {
  const Model& model = trainer.model();
  const Config& config = model.config();
  const ModelFlops flops = model_flops(model, config.train.sequence_length, trainer.plan().steps);
  const Model twin(dense_twin(config));
  const ModelFlops dense = model_flops(twin, config.train.sequence_length, trainer.plan().steps);
  const auto phases = [](const PhaseFlops& p) {
    return Json{{"forward", p.forward}, {"train", p.train}, {"decode", p.decode}};
  };
  const Json json = {
      {"kind", "run"},
      {"name", options.name.empty() ? fs::absolute(out).filename().string() : options.name},
      {"config", Json::parse(to_json(config))},
      {"parameters", flops.parameters},
      {"active_parameters", flops.active_parameters},
      {"flops_per_token", phases(flops.expected)},
      {"dense_flops_per_token", phases(dense.expected)},
      {"total_steps", trainer.plan().steps},
      {"tokens_per_step", trainer.plan().tokens_per_step},
      {"device", options.device.str()},
      {"threads", at::get_num_threads()},
      {"precision", std::string(name_of(config.train.precision))},
      {"peak_flops_per_second", options.peak_flops_per_second},
      {"dataset",
       {{"name", fs::absolute(dataset.folder()).filename().string()},
        {"tokens", dataset.tokens(Split::train)},
        {"documents", dataset.documents(Split::train)},
        {"vocab_size", dataset.vocab_size()}}}};
  write_file(out / "run.json", json.dump(2) + "\n");
}

TrainerFiles write_state(const TrainerState& state, double seconds) {
  return {state.optimizer,
          {{"step", state.step},
           {"loader", {{"epoch", state.loader.epoch}, {"next", state.loader.next}}},
           {"tokens", state.tokens},
           {"flops", state.flops},
           {"seconds", seconds}}};
}

TrainerState read_state(const TrainerFiles& files) {
  try {
    const Json& json = files.state;
    return {.step = json.at("step").get<int64_t>(),
            .loader = {json.at("loader").at("epoch").get<int64_t>(),
                       json.at("loader").at("next").get<int64_t>()},
            .tokens = json.at("tokens").get<double>(),
            .flops = json.at("flops").get<double>(),
            .seconds = json.at("seconds").get<double>(),
            .optimizer = files.tensors};
  } catch (const nlohmann::json::exception&) {
    fail("trainer/state.json lacks what a resume needs");
  }
}

}  // namespace pointwork
