#pragma once
// Where tokens go from round to round.

#include "pointwork/base/module_rounds.h"

namespace pointwork {

// The colour of a state as a CSS class: "m3" of a module, "ms" of SKIP.
std::string state_class(const ModuleRounds& branch, size_t state);

// "A2", "SKIP"; `letter` is that of the modules' kind.
std::string state_name(const ModuleRounds& branch, size_t state, const std::string& letter);

// An SVG with a column a round: a bar a state, as high as its share of tokens, and ribbons to the
// states of the next round, as wide as the share that goes there.
std::string module_flow(const ModuleRounds& branch, const std::string& letter);

}  // namespace pointwork
