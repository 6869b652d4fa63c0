#include "pointwork/config/expert_capacity.h"

#include <algorithm>
#include <cmath>

namespace pointwork {
namespace {

// Whole steps of a capacity; a product such as 0.1 · 30 is not let past the whole number that it
// means.
double rounded(double capacity, CapacityRounding rounding) {
  const double slack = 1e-12 * capacity;
  if (rounding == CapacityRounding::floor) return std::floor(capacity + slack);
  if (rounding == CapacityRounding::ceil) return std::ceil(capacity - slack);
  return std::floor(capacity + slack + 0.5);
}

}  // namespace

double fair_slots(const TokenChoiceConfig& config, double factor, int64_t group) {
  const auto rows = static_cast<double>(group);
  if (config.target_active > 0)
    return factor * config.target_active * rows / static_cast<double>(config.num_experts);
  return factor * static_cast<double>(config.top_k) * rows / static_cast<double>(config.choices());
}

int64_t expert_capacity(const TokenChoiceConfig& config, double factor, int64_t group) {
  const double slots = rounded(fair_slots(config, factor, group), config.capacity_rounding);
  const double least = static_cast<double>(config.min_capacity);
  return static_cast<int64_t>(std::min(static_cast<double>(group), std::max(slots, least)));
}

bool by_sequence(const TokenChoiceConfig& config) {
  return config.num_experts == 1 || config.capacity_per_sequence > 0;
}

CapacityGroups capacity_groups(const TokenChoiceConfig& config, double factor, const RowCount& of) {
  CapacityGroups groups{.rows = by_sequence(config) ? of.each : config.group_size};
  const int64_t full = groups.rows > 0 ? std::min(groups.rows, of.rows) : of.rows;
  if (full == of.rows) groups.rows = 0;
  if (config.dropless || of.rows == 0) return groups;
  groups.capacity = config.capacity_per_sequence > 0 ? std::min(full, config.capacity_per_sequence)
                                                     : expert_capacity(config, factor, full);
  return groups;
}

}  // namespace pointwork
