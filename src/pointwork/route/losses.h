#pragma once
// Losses that take Routes as arguments.

#include "pointwork/route/route.h"

namespace pointwork {

// bool [T]: the rows that were chosen.
Tensor chosen_rows(const Route& route);

// bool [T], of several experts that choose [T, E]: what each took, as `decision` has it.
Tensor chosen_pairs(const Route& route);

// Binary cross-entropy of the causal decision against the choice, averaged over valid rows (and
// experts).
// // float32 []
Tensor decision_loss(const Route& route);

}  // namespace pointwork
