#pragma once
// Causal attention among rows: an op that knows what Rows are, and so stands above them.

#include <torch/types.h>

#include "pointwork/route/rows.h"

namespace pointwork {

// Softmax(scale · q kᵀ) v within each sequence, each row over itself and the rows before it (of its
// own document, where rows.document is set). query [T, H, hd], key and value [T, K, hd], H a
// multiple of K → [T, H, hd]
Tensor attend(const Tensor& query, const Tensor& key, const Tensor& value, const Rows& rows,
              double scale);

}  // namespace pointwork
