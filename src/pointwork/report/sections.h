#pragma once
// The page's sections, each HTML of its own. A section says in a plain sentence what it cannot
// show.

#include <string>
#include <vector>

#include "pointwork/report/run_folder.h"

namespace pointwork {

using Runs = std::vector<RunFolder>;  // names differ

std::string overview_section(const Runs& runs);
std::string loss_section(const Runs& runs);
std::string capacity_section(const Runs& runs);  // "" where no run's capacity moved
std::string routing_section(const Runs& runs);
std::string module_section(const Runs& runs);  // "" where no repeat applies token choice
std::string layer_section(const Runs& runs);
std::string expert_section(const Runs& runs);  // "" where no run has token choice
std::string speed_section(const Runs& runs);
std::string samples_section(const Runs& runs);
std::string next_section(const Runs& runs);
std::string configuration_section(const Runs& runs);

// Sentences: losses of all runs at the FLOPs, and at the time, that all of them reached. "" where
// there are not two runs to compare.
std::string equal_budget_text(const Runs& runs);

// One sentence a benchmark that was measured against another configuration; "" without any.
std::string speed_text(const Runs& runs);

// What the last evaluations warned of; "" where it was nothing.
std::string expert_alarms_text(const Runs& runs);

// The run that others are measured against: the first without routed blocks, else the first.
size_t reference_run(const Runs& runs);

std::string run_name(const Runs& runs, size_t index);  // escaped, in the run's colour

extern const char* const kPageStyle;
extern const char* const kPageScript;

}  // namespace pointwork
