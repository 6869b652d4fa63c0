#include "pointwork/ops/choose.h"

#include <limits>

#include "pointwork/base/check.h"
#include "pointwork/kernels/choose.h"
#include "pointwork/ops/device.h"

namespace pointwork {
namespace {

Tensor top_with_library(const Tensor& score, int64_t sequences, const Tensor& valid,
                        const Tensor& wanted, int64_t each) {
  const int64_t length = score.size(0) / sequences;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  // float64 has room below the least float32 for NaN, and below that for rows that may not be
  // chosen.
  Tensor ranked = score.detach().to(torch::kFloat32).to(torch::kFloat64);
  ranked = ranked.nan_to_num(/*nan=*/-1e200, /*posinf=*/1e100, /*neginf=*/-1e100);
  if (valid.defined()) ranked = ranked.masked_fill(valid.logical_not(), -kInfinity);
  // A stable descending sort gives ties to the lower row.
  const auto [sorted, rows] =
      ranked.view({sequences, length}).sort(/*stable=*/true, 1, /*descending=*/true);
  Tensor order = rows.masked_fill(sorted.eq(-kInfinity), length).slice(1, 0, each);
  if (wanted.defined()) {
    const Tensor rank = torch::arange(each, order.options());
    order = order.masked_fill(rank.unsqueeze(0).ge(wanted.unsqueeze(1)), length);
  }
  order = std::get<0>(order.sort(1));
  const Tensor first = torch::arange(sequences, order.options()).unsqueeze(1) * length;
  return (order + first).masked_fill(order.eq(length), -1).flatten().to(torch::kInt32);
}

}  // namespace

Tensor top_rows(const std::string& name, const Tensor& score, int64_t sequences,
                const Tensor& valid, const Tensor& wanted, int64_t each) {
  check(sequences > 0 && score.dim() == 1 && score.size(0) % sequences == 0, "[", name,
        "] scores must be [", sequences, " x S] but have shape ", score.sizes());
  const int64_t length = score.size(0) / sequences;
  check(each >= 0 && each <= length, "[", name, "] ", each, " slots asked of sequences of ", length,
        " rows");
  check(!valid.defined() || valid.sizes() == score.sizes(), "[", name, "] valid must be ",
        score.sizes(), " but has shape ", valid.defined() ? valid.sizes() : score.sizes());
  check(!wanted.defined() || (wanted.dim() == 1 && wanted.size(0) == sequences), "[", name,
        "] wanted must be [", sequences, "] but has shape ",
        wanted.defined() ? wanted.sizes() : score.sizes());
  if (!use_kernel(score)) return top_with_library(score, sequences, valid, wanted, each);
  const auto ints = torch::TensorOptions().dtype(torch::kInt32);
  const Tensor start = torch::arange(sequences + 1, ints) * length;
  const Tensor count = wanted.defined() ? wanted : torch::full({sequences}, each, ints);
  Tensor token = torch::empty({sequences * each}, ints);
  const auto choose = [&](const Tensor& ranked) {
    return kernels::cpu::top_rows(
        ranked.data_ptr<float>(), start.data_ptr<int32_t>(), sequences,
        valid.defined() ? reinterpret_cast<const uint8_t*>(valid.data_ptr<bool>()) : nullptr,
        count.data_ptr<int32_t>(), each, token.data_ptr<int32_t>());
  };
  const Tensor ranked = score.detach().to(torch::kFloat32).contiguous();
  if (choose(ranked) >= 0) choose(ranked.nan_to_num(-std::numeric_limits<float>::infinity()));
  return token;
}

Tensor rows_above_zero(const Tensor& decision, const Tensor& valid) {
  Tensor enters = decision.detach().gt(0);
  if (valid.defined()) enters = enters.logical_and(valid);
  return enters.nonzero().squeeze(1).to(torch::kInt32);
}

}  // namespace pointwork
