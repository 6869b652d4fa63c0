#include "pointwork/ops/experts.h"

#include <algorithm>
#include <limits>

#include "pointwork/base/check.h"
#include "pointwork/kernels/experts.h"
#include "pointwork/ops/device.h"

namespace pointwork {
namespace {

const uint8_t* bytes_or_null(const Tensor& flags) {
  return flags.defined() ? reinterpret_cast<const uint8_t*>(flags.data_ptr<bool>()) : nullptr;
}

// As float32 in float64, which has room for NaN below −∞.
Tensor ranking(const Tensor& score) {
  return score.detach()
      .to(torch::kFloat32)
      .to(torch::kFloat64)
      .nan_to_num(/*nan=*/-1e200, /*posinf=*/1e100, /*neginf=*/-1e100);
}

Tensor highest_with_library(const Tensor& score, int64_t k, const Tensor& valid) {
  // A stable descending sort gives ties to the lower column.
  const Tensor order =
      std::get<1>(ranking(score).sort(/*stable=*/true, 1, /*descending=*/true)).slice(1, 0, k);
  const Tensor column = order.to(torch::kInt32);
  return valid.defined() ? column.masked_fill(valid.logical_not().unsqueeze(1), -1) : column;
}

// bool: choices that need a slot.
Tensor of_experts(const Tensor& choice, int64_t experts) {
  return choice.ge(0).logical_and(choice.lt(experts));
}

Tensor keep_with_library(const Tensor& choice, const Tensor& weight, const KeepOptions& options) {
  const int64_t rows = choice.size(0), k = choice.size(1);
  const int64_t group = options.group > 0 ? options.group : std::max<int64_t>(rows, 1);
  const int64_t segments = (rows + group - 1) / group * options.experts;
  const auto longs = choice.options().dtype(torch::kInt64);
  // By (group, expert, rank, weight or row): one stable sort each, the last key first. Pairs that
  // need no slot go to a segment beyond the last.
  const Tensor row = torch::arange(rows, longs).unsqueeze(1);
  const Tensor segment =
      (row.div(group, "floor") * options.experts + choice)
          .masked_fill(of_experts(choice, options.experts).logical_not(), segments);
  const Tensor ranked = (segment * k + torch::arange(k, longs)).flatten();
  Tensor order = weight.defined() ? std::get<1>(ranking(weight).flatten().sort(
                                        /*stable=*/true, 0, /*descending=*/true))
                                  : torch::arange(rows * k, longs);
  const auto [sorted, by_rank] =
      ranked.index_select(0, order).sort(/*stable=*/true, 0, /*descending=*/false);
  order = order.index_select(0, by_rank);
  const Tensor of = sorted.div(k, "floor");
  const Tensor place = torch::arange(rows * k, longs) - at::searchsorted(of, of);
  const Tensor room = place.lt(options.capacity).logical_and(of.lt(segments));
  return torch::zeros({rows * k}, room.options()).scatter(0, order, room).view({rows, k});
}

std::pair<Tensor, Tensor> sort_with_library(const Tensor& choice, const Tensor& kept,
                                            int64_t experts, int64_t slots) {
  Tensor needs = of_experts(choice, experts).flatten();
  if (kept.defined()) needs = needs.logical_and(kept.flatten());
  const auto [sorted, order] = choice.flatten()
                                   .masked_fill(needs.logical_not(), static_cast<int32_t>(experts))
                                   .sort(
                                       /*stable=*/true, 0, /*descending=*/false);
  const Tensor first = torch::arange(experts + 1, choice.options());
  const Tensor offset = at::searchsorted(sorted, first, /*out_int32=*/true).clamp_max(slots);
  const int64_t held = std::min(slots, sorted.size(0));
  const Tensor pair = order.slice(0, 0, held)
                          .to(torch::kInt32)
                          .masked_fill(sorted.slice(0, 0, held).eq(experts), -1);
  return {at::constant_pad_nd(pair, {0, slots - held}, -1), offset};
}

void check_choice(const char* op, const Tensor& choice) {
  check(choice.dim() == 2 && choice.scalar_type() == torch::kInt32, "[", op,
        "] choices must be int32 [T, k] but are ", choice.scalar_type(), " ", choice.sizes());
  check(choice.numel() <= std::numeric_limits<int32_t>::max(), "[", op, "] ", choice.numel(),
        " choices are more than int32 counts");
}

}  // namespace

Tensor highest_columns(const Tensor& score, int64_t k, const Tensor& valid) {
  check(score.dim() == 2, "[highest_columns] scores must be [T, M] but have shape ", score.sizes());
  const int64_t rows = score.size(0), columns = score.size(1);
  check(k >= 1 && k <= columns, "[highest_columns] ", k, " asked of ", columns, " columns");
  check(!valid.defined() || (valid.dim() == 1 && valid.size(0) == rows),
        "[highest_columns] valid must be [", rows, "] but has shape ",
        valid.defined() ? valid.sizes() : score.sizes());
  if (!use_kernel(score)) return highest_with_library(score, k, valid);
  const Tensor ranked = score.detach().to(torch::kFloat32).contiguous();
  const Tensor flags = valid.defined() ? valid.contiguous() : valid;
  Tensor column = torch::empty({rows, k}, torch::kInt32);
  kernels::cpu::highest_columns(ranked.data_ptr<float>(), rows, columns, k, bytes_or_null(flags),
                                column.data_ptr<int32_t>());
  return column;
}

Tensor keep_pairs(const Tensor& choice, const Tensor& weight, const KeepOptions& options) {
  check_choice("keep_pairs", choice);
  check(options.experts >= 1 && options.group >= 0 && options.capacity >= 0,
        "[keep_pairs] no such capacity: ", options.experts, " experts, groups of ", options.group,
        " rows, ", options.capacity, " slots");
  check(!weight.defined() || weight.sizes() == choice.sizes(), "[keep_pairs] weights must be ",
        choice.sizes(), " but have shape ", weight.defined() ? weight.sizes() : choice.sizes());
  if (!use_kernel(choice)) return keep_with_library(choice, weight, options);
  const int64_t rows = choice.size(0);
  const Tensor from = choice.contiguous();
  const Tensor heavy = weight.defined() ? weight.detach().to(torch::kFloat32).contiguous() : weight;
  Tensor kept = torch::empty(choice.sizes(), torch::kBool);
  kernels::cpu::keep_pairs(from.data_ptr<int32_t>(),
                           heavy.defined() ? heavy.data_ptr<float>() : nullptr,
                           {.rows = rows,
                            .k = choice.size(1),
                            .experts = options.experts,
                            .group = options.group > 0 ? options.group : std::max<int64_t>(rows, 1),
                            .capacity = options.capacity},
                           reinterpret_cast<uint8_t*>(kept.data_ptr<bool>()));
  return kept;
}

std::pair<Tensor, Tensor> sort_pairs(const Tensor& choice, const Tensor& kept, int64_t experts,
                                     int64_t slots) {
  check_choice("sort_pairs", choice);
  check(experts >= 1 && slots >= 0, "[sort_pairs] no such order: ", experts, " experts, ", slots,
        " slots");
  check(!kept.defined() || kept.sizes() == choice.sizes(), "[sort_pairs] kept must be ",
        choice.sizes(), " but has shape ", kept.defined() ? kept.sizes() : choice.sizes());
  const auto check_room = [&](int64_t pairs) {
    check(pairs <= slots, "[sort_pairs] ", pairs, " pairs have ", slots, " slots");
  };
  if (!use_kernel(choice)) {
    // Elsewhere than on the CPU reading the count would wait for the device.
    if (choice.is_cpu()) {
      Tensor needs = of_experts(choice, experts);
      if (kept.defined()) needs = needs.logical_and(kept);
      check_room(needs.sum().item<int64_t>());
    }
    return sort_with_library(choice, kept, experts, slots);
  }
  const auto ints = torch::TensorOptions().dtype(torch::kInt32);
  const Tensor from = choice.contiguous();
  const Tensor flags = kept.defined() ? kept.contiguous() : kept;
  Tensor pair = torch::empty({slots}, ints), offset = torch::empty({experts + 1}, ints);
  check_room(kernels::cpu::sort_pairs(from.data_ptr<int32_t>(), bytes_or_null(flags),
                                      choice.numel(), experts, slots, pair.data_ptr<int32_t>(),
                                      offset.data_ptr<int32_t>()));
  return {pair, offset};
}

}  // namespace pointwork
