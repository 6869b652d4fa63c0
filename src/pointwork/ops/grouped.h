#pragma once
// Products of experts: each row is multiplied by its own expert's matrix.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// y[n] = W[e] x[n] (+ bias[e]) for the rows n of expert e, offset[e] .. offset[e + 1]; rows beyond
// the last are 0. An expert without rows is not read, and its gradient is 0. x [N, in], weight [E,
// out, in], offset int32 [E + 1], bias [E, out] or undefined → [N, out]
Tensor grouped_project(const Tensor& x, const Tensor& weight, const Tensor& offset,
                       const Tensor& bias = {});

// The expert of each row, E beyond the last. offset int32 [E + 1] → int32 [rows]
Tensor expert_of_rows(const Tensor& offset, int64_t rows);

// table[e] in each row of expert e, 0 beyond the last. table [E, D] → [rows, D]
Tensor spread_rows(const Tensor& table, const Tensor& offset, int64_t rows);

}  // namespace pointwork
