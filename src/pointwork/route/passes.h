#pragma once
// Traces of one sequence that was run in several forward passes.

#include "pointwork/route/trace.h"

namespace pointwork {

// The traces of each layer over the rows of all passes, in their order. Where a pass has no trace
// of a layer its rows did not come to it.
std::vector<LayerTrace> join_passes(const std::vector<std::vector<LayerTrace>>& passes);

}  // namespace pointwork
