#include "pointwork/checkpoint/compare.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "pointwork/base/check.h"
#include "pointwork/checkpoint/tensors.h"

namespace pointwork {
namespace {

constexpr int64_t kChunk = 1 << 20;  // elements that are widened at a time
constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool known(const std::string& dtype) {
  try {
    dtype_of(dtype);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void add_chunk(TensorDifference& difference, const Tensor& first, const Tensor& second) {
  const Tensor a = first.to(torch::kFloat64), b = second.to(torch::kFloat64);
  const Tensor equal = first.eq(second).logical_or_(a.isnan().logical_and_(b.isnan()));
  const int64_t differing = equal.numel() - equal.sum().item<int64_t>();
  if (differing == 0) return;
  difference.differing += differing;
  const auto worst = [&](Tensor values) {
    return values.nan_to_num_(kInfinity, kInfinity).masked_fill_(equal, 0).max().item<double>();
  };
  const Tensor distance = (a - b).abs_();
  const Tensor relative = distance / torch::maximum(a.abs(), b.abs());
  difference.largest = std::max(difference.largest, worst(distance));
  difference.relative = std::max(difference.relative, worst(relative));
}

// Whether the tensors differ; then how, in `difference`.
bool differ(const WeightFiles& first, const WeightFiles& second, TensorDifference& difference) {
  const std::string& name = difference.name;
  const bool alike = difference.dtype[0] == difference.dtype[1];
  if (difference.shape[0] != difference.shape[1]) return true;
  const auto bytes = std::array{first.bytes(name), second.bytes(name)};
  if (alike && std::equal(bytes[0].begin(), bytes[0].end(), bytes[1].begin(), bytes[1].end()))
    return false;
  if (!known(difference.dtype[0]) || !known(difference.dtype[1])) return true;
  const Tensor a = first.view(name).flatten(), b = second.view(name).flatten();
  difference.compared = true;
  difference.elements = a.numel();
  for (int64_t at = 0; at < a.numel(); at += kChunk)
    add_chunk(difference, a.slice(0, at, at + kChunk), b.slice(0, at, at + kChunk));
  return !alike || difference.differing > 0;
}

}  // namespace

WeightComparison compare_weights(const WeightFiles& first, const WeightFiles& second) {
  const torch::NoGradGuard no_grad;
  WeightComparison found;
  for (const std::string& name : second.names()) {
    if (!first.find(name)) found.only[1].push_back(name);
  }
  for (const std::string& name : first.names()) {
    const TensorEntry *a = first.find(name), *b = second.find(name);
    if (!b) {
      found.only[0].push_back(name);
      continue;
    }
    TensorDifference difference{
        .name = name, .dtype = {a->dtype, b->dtype}, .shape = {a->shape, b->shape}};
    if (differ(first, second, difference)) {
      found.differing.push_back(std::move(difference));
    } else {
      ++found.equal;
    }
    first.forget(name);
    second.forget(name);
  }
  std::stable_sort(found.differing.begin(), found.differing.end(),
                   [](const TensorDifference& a, const TensorDifference& b) {
                     return std::tuple(a.compared, -a.largest) < std::tuple(b.compared, -b.largest);
                   });
  return found;
}

}  // namespace pointwork
