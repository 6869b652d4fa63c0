#pragma once
// What a forward pass computed, from its Routes: the measured side of FLOP counting.

#include <vector>

#include "pointwork/route/flops.h"
#include "pointwork/route/route.h"

namespace pointwork {

// One for each Route, in order. `rows`: of the model's input; sequences as they stand there.
std::vector<Entered> entered_of(const std::vector<Route>& routes, const Rows& rows);

}  // namespace pointwork
