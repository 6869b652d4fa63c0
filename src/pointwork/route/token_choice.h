#pragma once
// Token choice: each row takes the experts of its highest scores (Switch Transformers,
// arXiv:2101.03961; GShard). Experts have a capacity in each group of rows; what does not fit is
// dropped, and the residual stream alone carries it.

#include <string>

#include "pointwork/config/expert_capacity.h"
#include "pointwork/route/route.h"
#include "pointwork/route/rows.h"

namespace pointwork {

// capacity_groups() of local rows. Error where a group is a sequence and not all have as many rows,
// and where a capacity comes out as 0. `name`: of the branch, for errors.
CapacityGroups capacity_groups(const std::string& name, const TokenChoiceConfig& config,
                               double factor, const Rows& rows);

// The k choices of the highest scores, best first, ties to the lower choice, NaN lowest; all kEmpty
// where a row is not valid. score [T, M], valid bool [T] or undefined → int32 [T, k]
Tensor top_choices(const Tensor& score, int64_t k, const Tensor& valid);

// The Route of these choices: slots stand by expert, rows ascending within each, N = min(k·T,
// groups · E · C) whatever is chosen. A dropped pair has no slot, nor has a no-op, kEmpty, or a row
// that is not valid. choice int32 [T, k]; weight float32 [T, k], differentiable, whose gradient
// reaches the pairs that are kept, or undefined: 1. With priority = probability who weighs most is
// kept.
Route choose_experts(const TokenChoiceConfig& config, const Tensor& choice, const Tensor& weight,
                     const Rows& rows, const CapacityGroups& groups);

// What became of the T·k pairs: routed + dropped + noop + none = T·k. All int64.
struct RouteCounts {
  Tensor chosen;   // [M]  rows that chose each expert or no-op, before drops
  Tensor routed;   // []   pairs in a slot
  Tensor dropped;  // []   pairs of experts that were full
  Tensor noop;     // []   pairs of no-ops
  Tensor none;     // []   kEmpty: padding, and second choices that are not used
};

// Waits for no device.
RouteCounts count_choices(const Route& route);

}  // namespace pointwork
