#include "pointwork/route/token_choice.h"

#include <algorithm>
#include <tuple>

#include "pointwork/base/check.h"
#include "pointwork/ops/experts.h"
#include "pointwork/ops/rows.h"

namespace pointwork {
namespace {

int64_t groups_of(const CapacityGroups& groups, int64_t rows) {
  return groups.rows > 0 ? (rows + groups.rows - 1) / groups.rows : 1;
}

// No pair is lost, and none has more than one slot.
[[maybe_unused]] bool conserves(const Route& route) {
  const RouteCounts counts = count_choices(route);
  const auto number = [](const Tensor& x) { return x.item<int64_t>(); };
  return number(counts.dropped) >= 0 && number(counts.routed) + number(counts.dropped) +
                                                number(counts.noop) + number(counts.none) ==
                                            route.choice.numel();
}

}  // namespace

CapacityGroups capacity_groups(const std::string& name, const TokenChoiceConfig& config,
                               double factor, const Rows& rows) {
  const int64_t count = rows.count();
  check(!by_sequence(config) || rows.each > 0, "[", name,
        "] a capacity in each sequence needs sequences of equal length");
  const CapacityGroups groups = capacity_groups(config, factor, {.rows = count, .each = rows.each});
  check(groups.capacity > 0 || config.dropless || count == 0, "[", name,
        "] experts have a capacity of 0: a factor of ", factor, " in groups of ",
        groups.rows > 0 ? groups.rows : count, " rows, and a min_capacity of ",
        config.min_capacity);
  return groups;
}

Tensor top_choices(const Tensor& score, int64_t k, const Tensor& valid) {
  return highest_columns(score, k, valid);
}

Route choose_experts(const TokenChoiceConfig& config, const Tensor& choice, const Tensor& weight,
                     const Rows& rows, const CapacityGroups& groups) {
  const int64_t count = rows.count(), experts = config.num_experts, k = config.top_k;
  check(choice.sizes() == at::IntArrayRef({count, k}), "[choose_experts] choices must be [", count,
        ", ", k, "] but have shape ", choice.sizes());
  check(!weight.defined() || weight.sizes() == choice.sizes(), "[choose_experts] weights must be ",
        choice.sizes(), " but have shape ", weight.defined() ? weight.sizes() : choice.sizes());
  const bool limited = groups.capacity > 0;
  const bool by_weight = limited && config.priority == CapacityPriority::probability;
  check(!by_weight || weight.defined(),
        "[choose_experts] priority = probability needs the weights");

  Route route;
  route.choice = rows.valid.defined()
                     ? choice.masked_fill(rows.valid.logical_not().unsqueeze(1), kEmpty)
                     : choice;
  Tensor kept;
  if (limited)
    kept = keep_pairs(route.choice, by_weight ? weight.detach() : Tensor(),
                      {.experts = experts, .group = groups.rows, .capacity = groups.capacity});
  const int64_t pairs = count * std::min(k, experts);  // a row takes each at most once
  const int64_t slots =
      limited ? std::min(pairs, groups_of(groups, count) * experts * groups.capacity) : pairs;
  const auto [pair, offset] = sort_pairs(route.choice, kept, experts, slots);
  route.token = pair.div(k, "floor");  // -1 stays -1
  route.offset = offset;
  if (weight.defined())
    route.weight = weight.flatten()
                       .index_select(0, pair.clamp_min(0).to(torch::kInt64))
                       .masked_fill(pair.lt(0), 0);
  std::tie(route.row_offset, route.row_slot) = index_slots(route.token, count);
  route.valid = rows.valid;
  route.root = rows.root;
  route.sequences = rows.sequences();
  route.group = groups.rows;
  route.shape = {.rows = count,
                 .experts = experts,
                 .noop = config.num_noop,
                 .top_k = k,
                 .slots = slots,
                 .each = 0};
#ifndef NDEBUG
  check(!choice.is_cpu() || conserves(route), "[choose_experts] pairs were lost");
#endif
  return route;
}

RouteCounts count_choices(const Route& route) {
  const int64_t experts = route.shape.experts, choices = experts + route.shape.noop;
  // kEmpty counts as the choice beyond the last.
  const Tensor of =
      route.choice.masked_fill(route.choice.lt(0), static_cast<int32_t>(choices)).to(torch::kInt64);
  const Tensor count = torch::zeros({choices + 1}, of.options())
                           .scatter_add(0, of.flatten(), torch::ones_like(of.flatten()));
  // Of each row what it asked of experts, less the slots it has.
  const Tensor asked = of.lt(experts).sum(1);
  const Tensor has = route.row_offset.slice(0, 1) - route.row_offset.slice(0, 0, -1);
  return {.chosen = count.slice(0, 0, choices),
          .routed = route.token.ge(0).sum(),
          .dropped = (asked - has).clamp_min(0).sum(),
          .noop = count.slice(0, experts, choices).sum(),
          .none = count[choices]};
}

}  // namespace pointwork
