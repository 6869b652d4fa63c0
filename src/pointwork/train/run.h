#pragma once
// A training run on disk: its folder, its records, its checkpoints, and how it ends.

#include <functional>
#include <optional>

#include "pointwork/checkpoint/checkpoint.h"
#include "pointwork/train/step_record.h"
#include "pointwork/train/trainer.h"

namespace pointwork {

struct RunOptions {
  std::filesystem::path data;   // a data set's folder
  std::filesystem::path out;    // the run's folder
  std::string resume = "auto";  // auto: go on where `out` stands; never: `out` must be new; else a
                                // checkpoint or run to start from
  std::string init;    // a checkpoint or run whose weights a run that begins anew takes; "":
                       // they are drawn by train.seed
  bool force = false;  // replace a run that is there instead of resuming it
  std::string name;    // for pages; "": the folder's name
  torch::Device device = torch::kCPU;
  double peak_flops_per_second = 0;  // of a matrix product; 0: MFU is not known
};

// Who watches. Called from the training thread, between steps.
struct RunView {
  std::function<void(const std::string& text)> note;  // for people; one line
  std::function<void(const std::string& text)> fact;  // likewise, and nothing is wrong
  std::function<void(const StepRecord&)> step;
};

enum class RunEnd { done, signal, time_limit };

struct RunResult {
  RunEnd end = RunEnd::done;
  int signal = 0;
  int64_t step = 0, steps = 0;
  std::filesystem::path checkpoint;  // the last one saved
  std::shared_ptr<Model> model;
};

// Trains until the budget, a signal or train.time_limit; the state is saved in each case. Before
// the first step, Error where data, memory or disk cannot do, where another process writes the run,
// or where the run there has another config (naming the keys).
RunResult run_training(Config config, const RunOptions& options, const RunView& view);

// The config with the vocabulary of the data set where it gives none.
Config with_vocabulary(Config config, const Dataset& dataset);

}  // namespace pointwork
