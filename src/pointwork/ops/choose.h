#pragma once
// Which rows have the highest scores.

#include <torch/types.h>

#include <string>

namespace pointwork {

using torch::Tensor;

// The highest scores of each sequence, rows ascending, ties to the lower row, -1 where a slot stays
// empty. score float [T] in `sequences` runs of equal length; valid bool [T] or undefined; wanted
// int32 [sequences] or undefined (each). → int32 [sequences · each] NaN ranks lowest and changes
// nothing else: its row keeps it, so the loss shows it to the step's guard.
Tensor top_rows(const std::string& name, const Tensor& score, int64_t sequences,
                const Tensor& valid, const Tensor& wanted, int64_t each);

// Rows whose decision is above 0, ascending. decision float [T], valid bool [T] or undefined. →
// int32 [count]
Tensor rows_above_zero(const Tensor& decision, const Tensor& valid);

}  // namespace pointwork
