#pragma once
// How a run begins: anew, where it stood, or from another checkpoint; and what is refused before
// the first step.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pointwork/files/steps.h"
#include "pointwork/train/run.h"

namespace pointwork {

struct RunStart {
  std::shared_ptr<RunLock> lock;
  std::shared_ptr<Model> model;         // on its device, in its precision, with its weights
  std::shared_ptr<Teacher> teacher;     // where there is one
  std::optional<TrainerFiles> trainer;  // where the run goes on
  nlohmann::ordered_json carried;       // see Checkpoint
  TokenizerSettings tokenizer_settings;
  std::vector<std::string> facts;  // for people: where its weights come from
  bool existed = false;            // the folder held a run
  bool saved_here = false;         // the state to go on from is one of the run's checkpoints
  bool has_validation = false;
};

// Makes or takes the run's folder and the model; what stood there is replaced last, once nothing
// can be refused any more. Errors as run_training says.
RunStart prepare_run(const Config& config, const Dataset& dataset, const RunOptions& options,
                     const std::function<void(const std::string&)>& note);

// run.json: what the run is, for pages.
void write_run_json(const std::filesystem::path& out, const Trainer& trainer,
                    const Dataset& dataset, const RunOptions& options);

TrainerFiles write_state(const TrainerState& state, double seconds);
TrainerState read_state(const TrainerFiles& files);

}  // namespace pointwork
