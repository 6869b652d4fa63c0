#pragma once
// Token choice: each row takes the experts of its highest scores (Switch Transformers,
// arXiv:2101.03961; GShard). Experts have a capacity in each group of rows; what does not fit is
// dropped, and the residual stream alone carries it.

#include <string>

#include "pointwork/config/token_choice_config.h"
#include "pointwork/route/route.h"
#include "pointwork/route/rows.h"

namespace pointwork {

// Where experts are full.
struct CapacityGroups {
  int64_t rows = 0;  // consecutive rows of a group, of which the last may have fewer; 0: all are
                     // one
  int64_t capacity = 0;  // slots of an expert in each group; 0: dropless
};

// Slots of an expert for `group` rows (Switch eq. 3): f·k·G / (E + O), or f·a·G / E where a mean of
// a = target_active experts is held; at least min_capacity, and at most G.
int64_t expert_capacity(const TokenChoiceConfig& config, double factor, int64_t group);

// Groups of group_size local rows, whose capacity is that of a full group, also in the last; or a
// sequence each where `by_sequence` or capacity_per_sequence says so, for which all must have as
// many rows. A capacity of 0 is an Error. `name`: of the branch, for errors.
CapacityGroups capacity_groups(const std::string& name, const TokenChoiceConfig& config,
                               double factor, const Rows& rows, bool by_sequence);

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
