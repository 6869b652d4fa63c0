#include "pointwork/nn/attend.h"

#include <ATen/ATen.h>

#include "pointwork/base/check.h"
#include "pointwork/ops/rows.h"

namespace pointwork {
namespace {

// bool [B, 1, n, n]: at or before, and of the same document.
Tensor document_mask(const Tensor& document, int64_t sequences, int64_t each) {
  const Tensor of = document.view({sequences, each});
  const Tensor same = of.unsqueeze(2).eq(of.unsqueeze(1));
  return same.tril().unsqueeze(1);
}

Tensor attend_uniform(const Tensor& query, const Tensor& key, const Tensor& value,
                      const Tensor& document, int64_t sequences, int64_t each, double scale) {
  const auto by_head = [&](const Tensor& x) {
    return x.view({sequences, each, x.size(1), x.size(2)}).transpose(1, 2);
  };
  c10::optional<Tensor> mask;
  if (document.defined()) mask = document_mask(document, sequences, each);
  const Tensor mixed =
      at::scaled_dot_product_attention(by_head(query), by_head(key), by_head(value), mask, 0.0,
                                       !mask.has_value(), scale, key.size(1) != query.size(1));
  return mixed.transpose(1, 2).reshape(query.sizes());
}

}  // namespace

Tensor attend(const Tensor& query, const Tensor& key, const Tensor& value, const Rows& rows,
              double scale) {
  check(query.dim() == 3 && query.size(0) == rows.count(), "[attend] query must be [", rows.count(),
        ", H, hd] but has shape ", query.sizes());
  check(key.dim() == 3 && key.size(0) == query.size(0) && key.size(2) == query.size(2),
        "[attend] key must be [", rows.count(), ", K, ", query.size(2), "] but has shape ",
        key.sizes());
  check(value.sizes() == key.sizes(), "[attend] value must be ", key.sizes(),
        " as key is but has shape ", value.sizes());
  check(query.size(1) % key.size(1) == 0, "[attend] ", query.size(1),
        " query heads are no multiple of ", key.size(1), " key-value heads");
  const int64_t sequences = rows.sequences();
  if (rows.each > 0)
    return attend_uniform(query, key, value, rows.document, sequences, rows.each, scale);

  // Ragged: padded at the tail of each sequence, where a causal mask hides it from every real row.
  const Tensor start = rows.start.to(torch::kInt64);
  const Tensor count = start.slice(0, 1) - start.slice(0, 0, -1);
  const int64_t each = count.max().item<int64_t>();
  if (each == 0) return torch::zeros_like(query);
  const Tensor column = torch::arange(each);
  const Tensor inside = column.unsqueeze(0).lt(count.unsqueeze(1));
  const Tensor index = (start.slice(0, 0, -1).unsqueeze(1) + column)
                           .masked_fill(inside.logical_not(), -1)
                           .flatten()
                           .to(torch::kInt32)
                           .to(query.device());
  const auto [offset, slot] = index_slots(index, rows.count());
  const RowIndex padded{index, offset, slot};
  const auto pad = [&](const Tensor& x) {
    return dispatch(x.flatten(1), padded).view({sequences * each, x.size(1), x.size(2)});
  };
  Tensor document;
  if (rows.document.defined()) {
    document = rows.document.index_select(0, index.clamp_min(0).to(torch::kInt64))
                   .masked_fill(index.lt(0), -1);
  }
  const Tensor mixed =
      attend_uniform(pad(query), pad(key), pad(value), document, sequences, each, scale);
  return combine({}, mixed.flatten(1), {}, padded).view(query.sizes());
}

}  // namespace pointwork
