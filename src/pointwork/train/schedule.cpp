#include "pointwork/train/schedule.h"

#include <algorithm>
#include <cmath>

namespace pointwork {

double learning_rate_at(const ScheduleConfig& schedule, double peak, int64_t step, int64_t steps) {
  const double warmup = schedule.warmup_share > 0
                            ? std::ceil(schedule.warmup_share * static_cast<double>(steps))
                            : static_cast<double>(std::min(schedule.warmup_steps, steps));
  const double at = static_cast<double>(step);
  if (at < warmup) return peak * (at + 1) / warmup;
  const double last = static_cast<double>(steps) - 1;
  const double low = schedule.final_share;
  double from = warmup;
  if (schedule.kind == ScheduleKind::wsd) {
    from = std::max(warmup, std::floor(static_cast<double>(steps) * (1 - schedule.decay_share)));
  }
  const double progress = last > from ? std::clamp((at - from) / (last - from), 0.0, 1.0) : 0;
  switch (schedule.kind) {
    case ScheduleKind::constant:
      return peak;
    case ScheduleKind::cosine:
      return peak * (low + (1 - low) * 0.5 * (1 + std::cos(M_PI * progress)));
    case ScheduleKind::linear:
    case ScheduleKind::wsd:
      return peak * (1 - (1 - low) * progress);
  }
  return peak;
}

}  // namespace pointwork
