#include "pointwork/config/token_choice_config.h"

#include <algorithm>

namespace pointwork {

int64_t TokenChoiceConfig::top_k_at(int64_t step) const {
  if (top_k_start <= top_k || step >= top_k_steps) return top_k;
  // Every value on the way is held for equally long.
  const int64_t values = top_k_start - top_k + 1;
  return top_k_start - std::max<int64_t>(step, 0) * (values - 1) / top_k_steps;
}

double TokenChoiceConfig::taking_share(int64_t k) const {
  if (k > num_noop) return 1;
  if (target_active > 0) return std::min(1.0, target_active);
  double none = 1;
  for (int64_t i = 0; i < k; ++i)
    none *= static_cast<double>(num_noop - i) / static_cast<double>(choices() - i);
  return 1 - none;
}

}  // namespace pointwork
