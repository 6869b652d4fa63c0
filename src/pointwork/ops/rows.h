#pragma once
// dispatch and combine: gather rows by a Route, scatter-add them back weighted. They are each
// other's transpose.

#include <torch/types.h>

#include <utility>

namespace pointwork {

using torch::Tensor;

// A Route's index both ways round.
struct RowIndex {
  Tensor token;       // int32 [N]      row of each slot, -1 = empty
  Tensor row_offset;  // int32 [T + 1]
  Tensor row_slot;    // int32 [filled] slots of each row, ascending
};

// The transpose of `token` by one counting sort: (row_offset, row_slot).
std::pair<Tensor, Tensor> index_slots(const Tensor& token, int64_t rows);

// slots[n] = x[token[n]], 0 where empty. x [T, D] → [N, D]
Tensor dispatch(const Tensor& x, const RowIndex& index);

// base[t] + Σ weight[s] · y[s] over the slots s of row t, in ascending order: deterministic. base
// [T, D] or undefined (0), y [N, D], weight float [N] or undefined (1) → [T, D]
Tensor combine(const Tensor& base, const Tensor& y, const Tensor& weight, const RowIndex& index);

// weight[id] for each id; the gradient sums in float32 in a fixed order. weight [V, D], id int32
// [T] → [T, D]
Tensor embed(const Tensor& weight, const Tensor& id);

}  // namespace pointwork
