#pragma once
// Loads of experts as coloured cells: darker blue the further above the fair share, darker orange
// the further below, by powers of 2.

#include "pointwork/report/run_folder.h"

namespace pointwork {

// The newest line that holds loads of experts; null where there is none.
const StepMetrics* last_expert_loads(const RunFolder& run);

// Layer by expert at the last evaluation.
std::string expert_map(const StepMetrics& evaluation);

// Of each layer, expert by evaluation, and below it the entropy of scores and the shares that were
// dropped and that went to no-ops. `rounds`: of branches that a repeat applies, else of the others.
// "" where there are none, or not two evaluations.
std::string expert_trends(const RunFolder& run, bool rounds = false);

// What the colours mean.
std::string load_key();

// "3", "no-op", "no-op 1": choice `index` of `choices`, of which `experts` are experts.
std::string choice_name(size_t index, size_t experts, size_t choices);

}  // namespace pointwork
