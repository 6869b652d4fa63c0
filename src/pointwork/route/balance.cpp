#include "pointwork/route/balance.h"

#include <algorithm>
#include <limits>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

// At least float32.
Tensor widened(const Tensor& x) {
  return x.scalar_type() == torch::kFloat64 ? x : x.to(torch::kFloat32);
}

void check_valid(const char* op, const Tensor& valid, int64_t rows) {
  check(!valid.defined() || (valid.dim() == 1 && valid.size(0) == rows), "[", op,
        "] valid must be [", rows, "] but has shape ",
        valid.defined() ? valid.sizes() : at::IntArrayRef());
}

// [T, any] → [groups, any], the sums of each group's rows.
Tensor sum_groups(const Tensor& x, int64_t group) {
  const int64_t groups = (x.size(0) + group - 1) / group, more = groups * group - x.size(0);
  const Tensor padded = more > 0 ? at::constant_pad_nd(x, {0, 0, 0, more}) : x;
  return padded.view({groups, group, x.size(1)}).sum(1);
}

}  // namespace

Tensor balance_loss(const Tensor& probability, const Tensor& choice, int64_t choices, int64_t group,
                    const Tensor& valid) {
  check(probability.dim() == 2 && choice.dim() == 2 && choice.size(0) == probability.size(0),
        "[balance_loss] probabilities must be [T, M] and choices [T, k] but have shapes ",
        probability.sizes(), " and ", choice.sizes());
  const int64_t rows = probability.size(0), all = probability.size(1), k = choice.size(1);
  check(choices >= 1 && choices <= all && group >= 0, "[balance_loss] no such balance: ", choices,
        " of ", all, " choices in groups of ", group, " rows");
  check_valid("balance_loss", valid, rows);
  if (rows == 0) return widened(probability).sum();
  const int64_t each = group > 0 ? std::min(group, rows) : rows;
  const int64_t groups = (rows + each - 1) / each;

  // What is not valid may be anything, NaN too: it is replaced, not multiplied by 0.
  Tensor p = widened(probability).slice(1, 0, choices);
  Tensor of = choice.to(torch::kInt64);
  of = of.masked_fill(of.lt(0).logical_or(of.ge(choices)), choices);
  Tensor ones = torch::ones({rows, 1}, p.options().requires_grad(false));
  if (valid.defined()) {
    const Tensor padding = valid.logical_not().unsqueeze(1);
    p = p.masked_fill(padding, 0);
    of = of.masked_fill(padding, choices);
    ones = ones.masked_fill(padding, 0);
  }
  const Tensor counted = sum_groups(ones, each);  // [groups, 1]  valid rows
  const Tensor at = torch::arange(rows, of.options()).unsqueeze(1).div(each, "floor");
  const Tensor flat = (at * (choices + 1) + of).flatten();
  const Tensor count = torch::zeros({groups * (choices + 1)}, of.options())
                           .scatter_add(0, flat, torch::ones_like(flat))
                           .view({groups, choices + 1})
                           .slice(1, 0, choices)
                           .to(p.scalar_type());  // [groups, choices]
  Tensor share, mean, balanced;
  const Tensor sum = sum_groups(p, each);
  if (choices == all) {
    balanced = counted.gt(0);
    share = count / (counted * static_cast<double>(k)).clamp_min(1);
    mean = sum / counted.clamp_min(1);
  } else {
    const Tensor chosen = count.sum(1, /*keepdim=*/true), total = sum.sum(1, /*keepdim=*/true);
    balanced = chosen.gt(0);
    share = count / chosen.clamp_min(1);
    mean = sum / total.clamp_min(std::numeric_limits<float>::min());
  }
  const Tensor loss = (share * mean).sum(1, /*keepdim=*/true) * static_cast<double>(choices);
  return loss.masked_fill(balanced.logical_not(), 0).sum() / balanced.sum().clamp_min(1);
}

Tensor router_z_loss(const Tensor& logits, const Tensor& valid) {
  check(logits.dim() == 2, "[router_z_loss] logits must be [T, M] but have shape ", logits.sizes());
  check_valid("router_z_loss", valid, logits.size(0));
  const Tensor x = widened(logits);
  if (!valid.defined() && logits.size(0) > 0) return x.logsumexp(1).square().mean();
  if (!valid.defined()) return x.sum();
  const Tensor padding = valid.logical_not();
  const Tensor square = x.masked_fill(padding.unsqueeze(1), 0).logsumexp(1).square();
  return square.masked_fill(padding, 0).sum() / valid.sum().clamp_min(1);
}

}  // namespace pointwork
