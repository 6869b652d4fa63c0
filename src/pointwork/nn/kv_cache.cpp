#include "pointwork/nn/kv_cache.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/kernels/attend.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/kernel_types.h"

namespace pointwork {
namespace {

constexpr int64_t kFirstReserve = 64;
// Above this many new rows a sequence, one blocked attention with a mask beats a pass over the keys
// per row.
constexpr int64_t kManyRows = 16;

}  // namespace

KvCache::KvCache(int64_t sites, int64_t sequences, int64_t limit)
    : sequences_(sequences), limit_(limit) {
  check(sites >= 0 && sequences > 0 && limit > 0,
        "[kv_cache] needs at least one sequence and a limit above 0 but found ", sequences, " and ",
        limit);
  cells_.resize(static_cast<size_t>(sites * sequences));
}

int64_t KvCache::length(int64_t site, int64_t sequence) const {
  return cells_[static_cast<size_t>(site * sequences_ + sequence)].length;
}

int64_t KvCache::bytes() const {
  int64_t sum = 0;
  for (const Cell& cell : cells_) {
    if (cell.length > 0) sum += 2 * cell.length * cell.key.stride(0) * cell.key.element_size();
  }
  return sum;
}

void KvCache::append(Cell& cell, const Tensor& key, const Tensor& value) {
  const int64_t needed = cell.length + key.size(0);
  if (!cell.key.defined() || needed > cell.key.size(0)) {
    const int64_t old = cell.key.defined() ? cell.key.size(0) : 0;
    const int64_t reserve = std::min(limit_, std::max({needed, 2 * old, kFirstReserve}));
    const auto grow = [&](Tensor& held, const Tensor& like) {
      Tensor larger = torch::empty({reserve, like.size(1), like.size(2)}, like.options());
      if (cell.length > 0) larger.slice(0, 0, cell.length).copy_(held.slice(0, 0, cell.length));
      held = larger;
    };
    grow(cell.key, key);
    grow(cell.value, value);
  }
  cell.key.slice(0, cell.length, needed).copy_(key);
  cell.value.slice(0, cell.length, needed).copy_(value);
  cell.length = needed;
}

Tensor KvCache::attend(int64_t site, const Tensor& query, const Tensor& key, const Tensor& value,
                       const Rows& rows, double scale, const Tensor& asking) {
  check(!torch::GradMode::is_enabled(), "[kv_cache] serves inference only: gradients must be off");
  check(!rows.document.defined(), "[kv_cache] keeps no documents apart: rows must have none");
  check(site >= 0 && site < sites(), "[kv_cache] has ", sites(), " sites but was asked for ", site);
  const int64_t total = query.size(0);
  Tensor out = torch::empty(query.sizes(), query.options());
  const int32_t* start = rows.start.data_ptr<int32_t>();
  const Tensor of = rows.sequence.cpu();
  // All or nothing: an error leaves the cache as it was.
  for (int64_t b = 0; b < rows.sequences(); ++b) {
    if (start[b] == start[b + 1]) continue;
    const int64_t sequence = of.data_ptr<int32_t>()[start[b]];
    check(sequence >= 0 && sequence < sequences_, "[kv_cache] has ", sequences_,
          " sequences but was asked for ", sequence);
    const int64_t needed = length(site, sequence) + start[b + 1] - start[b];
    check(needed <= limit_, "[kv_cache] a sequence would hold ", needed, " rows but the limit is ",
          limit_);
  }

  const Tensor who = asking.defined() ? asking.cpu() : torch::arange(total, torch::kInt32);
  const int32_t* row = who.data_ptr<int32_t>();
  Tensor visible = torch::empty({total}, torch::kInt32);
  Tensor local = torch::empty({total}, torch::kInt32);
  std::vector<Cell*> cells;
  std::vector<int64_t> first;
  bool few = true;
  int64_t next = 0;
  for (int64_t b = 0; b < rows.sequences(); ++b) {
    const int64_t begin = start[b], end = start[b + 1];
    if (begin == end) continue;
    const int64_t sequence = of.data_ptr<int32_t>()[begin];
    Cell& cell = cells_[static_cast<size_t>(site * sequences_ + sequence)];
    first.push_back(next);
    for (; next < total && row[next] < end; ++next) {
      visible.data_ptr<int32_t>()[next] = static_cast<int32_t>(cell.length + row[next] - begin + 1);
      local.data_ptr<int32_t>()[next] = static_cast<int32_t>(cells.size());
    }
    append(cell, key.slice(0, begin, end), value.slice(0, begin, end));
    cells.push_back(&cell);
    few = few && end - begin < kManyRows;
  }
  first.push_back(total);
  if (total == 0) return out;

  if (few && use_kernel(query)) {
    const Tensor q = query.contiguous();
    dispatch_type(q, [&](auto type) {
      using T = decltype(type);
      std::vector<const T*> keys, values;
      for (const Cell* cell : cells) {
        keys.push_back(kernel_data<T>(cell->key));
        values.push_back(kernel_data<T>(cell->value));
      }
      kernels::cpu::attend(kernel_data<T>(q), total, query.size(1), key.size(1), query.size(2),
                           local.data_ptr<int32_t>(), visible.data_ptr<int32_t>(), keys.data(),
                           values.data(), scale, kernel_data<T>(out));
    });
    return out;
  }
  for (size_t b = 0; b < cells.size(); ++b) {
    const int64_t begin = first[b], end = first[b + 1], held = cells[b]->length;
    const auto heads_first = [](const Tensor& x) { return x.transpose(0, 1).unsqueeze(0); };
    if (begin == end) continue;
    const Tensor sees = visible.slice(0, begin, end);
    const bool causal = end - begin == held;
    c10::optional<Tensor> mask;
    if (!causal && (end - begin > 1 || sees[0].item<int32_t>() < held))
      mask = torch::arange(held, torch::kInt32).lt(sees.unsqueeze(1)).to(query.device());
    const Tensor mixed = at::scaled_dot_product_attention(
        heads_first(query.slice(0, begin, end)), heads_first(cells[b]->key.slice(0, 0, held)),
        heads_first(cells[b]->value.slice(0, 0, held)), mask, 0.0, causal && held > 1, scale,
        key.size(1) != query.size(1));
    out.slice(0, begin, end).copy_(mixed.squeeze(0).transpose(0, 1));
  }
  return out;
}

}  // namespace pointwork
