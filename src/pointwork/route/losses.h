#pragma once
// Losses that take Routes as arguments.

#include "pointwork/route/route.h"

namespace pointwork {

// bool [T]: the rows that were chosen.
Tensor chosen_rows(const Route& route);

// Binary cross-entropy of the causal decision against the choice, averaged over valid rows. //
// float32 []
Tensor decision_loss(const Route& route);

}  // namespace pointwork
