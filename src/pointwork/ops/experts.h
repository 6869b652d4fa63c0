#pragma once
// Token choice: which experts each row takes, who is kept where an expert is full, and the rows in
// order of experts. A pair is one choice of one row: pair p = row · k + rank, rank 0 the first
// choice.

#include <torch/types.h>

#include <utility>

namespace pointwork {

using torch::Tensor;

// The k highest columns of each row, highest first; ties go to the lower column, NaN ranks lowest;
// all -1 where a row is not valid. score float [T, M], valid bool [T] or undefined → int32 [T, k]
Tensor highest_columns(const Tensor& score, int64_t k, const Tensor& valid);

struct KeepOptions {
  int64_t experts = 1;   // columns from here on are no-ops: never kept, never full
  int64_t group = 0;     // rows of a group; 0: all are one
  int64_t capacity = 0;  // pairs an expert keeps in each group
};

// Who is kept: in each group all first choices go before all second ones. Among those of a rank the
// lower row goes first, or with `weight` (float [T, k]) the heavier pair, ties to the lower row.
// choice int32 [T, k] → bool [T, k]
Tensor keep_pairs(const Tensor& choice, const Tensor& weight, const KeepOptions& options);

// Pairs in order of experts, then of rows: one counting sort. Pairs that are not kept (`kept` bool
// [T, k] or undefined: all), no-ops and -1 are left out; -1 fills the tail. More than `slots`
// pairs: Error on the CPU. → (pair int32 [slots], offset int32 [experts + 1])
std::pair<Tensor, Tensor> sort_pairs(const Tensor& choice, const Tensor& kept, int64_t experts,
                                     int64_t slots);

}  // namespace pointwork
