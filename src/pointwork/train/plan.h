#pragma once
// A run before it runs: steps, tokens and FLOPs, all from the config and the batch shape.

#include "pointwork/model/model.h"

namespace pointwork {

// FLOPs a token of one phase.
struct PhaseFlops {
  double forward = 0;  // selection as in training
  double train = 0;    // 3 x forward
  double decode = 0;   // causal, averaged over a sequence of the trained length
};

struct ModelFlops {
  PhaseFlops expected, bound;
  double palm_train = 0;  // a token, attention in full: the nanoGPT and PaLM convention
  double parameters = 0, active_parameters = 0;
  FlopParts parts;  // forward, one sequence, expected
};

// For sequences of `length` at `step` (whose capacities are in force).
ModelFlops model_flops(const Model& model, int64_t length, int64_t step);

struct Plan {
  int64_t steps = 0;
  int64_t tokens_per_step = 0;
  double flops = 0;  // of the whole run, training
};

// Steps for the budget in config.train: of FLOPs, the number that comes nearest. Error where no
// budget, or more than one, is given.
Plan make_plan(const Model& model);

// Training FLOPs of steps 0 .. steps - 1.
double flops_until(const Model& model, int64_t steps);

// First steps of each stretch of constant capacities, 0 first.
std::vector<int64_t> capacity_changes(const Config& config);

}  // namespace pointwork
