#include "pointwork/route/rows.h"

namespace pointwork {

Rows uniform_rows(int64_t sequences, int64_t length, torch::Device device) {
  const auto ints = torch::TensorOptions().dtype(torch::kInt32).device(device);
  const auto host = torch::TensorOptions().dtype(torch::kInt32);
  Rows rows;
  rows.position = torch::arange(length, ints).repeat({sequences});
  rows.sequence = torch::arange(sequences, ints).repeat_interleave(length);
  rows.root = torch::arange(sequences * length, ints);
  rows.start = torch::arange(sequences + 1, host) * length;
  rows.key = torch::arange(sequences, host.dtype(torch::kInt64));
  rows.each = length;
  return rows;
}

Rows gather_expert_rows(const Rows& rows, const Tensor& token) {
  const Tensor index = token.clamp_min(0).to(torch::kInt64);
  Rows inner;
  inner.position = rows.position.index_select(0, index);
  inner.sequence = rows.sequence.index_select(0, index);
  inner.key = rows.key;
  return inner;
}

Rows gather_rows_of(const Rows& rows, const Tensor& token, int64_t each) {
  const Tensor filled = token.ge(0);
  const Tensor index = token.clamp_min(0).to(torch::kInt64);
  const bool holes = each > 0 && rows.valid.defined();
  Rows inner;
  inner.position = rows.position.index_select(0, index);
  inner.sequence = rows.sequence.index_select(0, index);
  inner.root = rows.root.index_select(0, index);
  if (rows.document.defined()) inner.document = rows.document.index_select(0, index);
  if (holes) {
    inner.valid = filled;
    inner.root = inner.root.masked_fill(filled.logical_not(), -1);
    if (inner.document.defined())
      inner.document = inner.document.masked_fill(filled.logical_not(), -1);
  }
  inner.key = rows.key;
  inner.each = each;
  const int64_t sequences = rows.sequences();
  if (each > 0) {
    inner.start = torch::arange(sequences + 1, torch::kInt32) * each;
  } else {
    // As many as stand before each sequence's first row.
    inner.start = at::searchsorted(token.cpu(), rows.start, /*out_int32=*/true);
  }
  return inner;
}

}  // namespace pointwork
