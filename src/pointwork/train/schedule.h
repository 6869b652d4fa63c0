#pragma once
// The learning rate's course.

#include "pointwork/config/train_config.h"

namespace pointwork {

// Learning rate of step `step` (from 0) of `steps`. Warm-up is linear and ends at the peak; cosine
// and linear fall to final_share of it at the last step; wsd holds the peak and falls linearly in
// its last decay_share.
double learning_rate_at(const ScheduleConfig& schedule, double peak, int64_t step, int64_t steps);

}  // namespace pointwork
