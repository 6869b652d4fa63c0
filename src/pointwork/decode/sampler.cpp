#include "pointwork/decode/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pointwork/base/check.h"

namespace pointwork {

void validate(const SamplerOptions& o) {
  check(std::isfinite(o.temperature) && o.temperature >= 0,
        "temperature must be 0 or above but is ", o.temperature);
  check(o.top_k >= 0, "top-k must be 0 or above but is ", o.top_k);
  check(o.top_p > 0 && o.top_p <= 1, "top-p must be in (0, 1] but is ", o.top_p);
  check(o.min_p >= 0 && o.min_p <= 1, "min-p must be in [0, 1] but is ", o.min_p);
  check(std::isfinite(o.repetition_penalty) && o.repetition_penalty > 0,
        "repetition penalty must be above 0 but is ", o.repetition_penalty);
}

int32_t sample_token(std::span<const float> logits, std::span<const int32_t> seen,
                     const SamplerOptions& options, double uniform) {
  check(!logits.empty(), "[sample_token] there are no logits");
  std::vector<double> score(logits.begin(), logits.end());
  for (const double s : score)
    check(!std::isnan(s), "the model's logits are not numbers: its weights are damaged");
  if (options.repetition_penalty != 1) {
    std::vector<uint8_t> done(score.size());
    for (const int32_t id : seen) {
      if (id < 0 || static_cast<size_t>(id) >= score.size() || done[static_cast<size_t>(id)]++)
        continue;
      double& s = score[static_cast<size_t>(id)];
      s = s > 0 ? s / options.repetition_penalty : s * options.repetition_penalty;
    }
  }
  std::vector<int32_t> order(score.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    const double sa = score[static_cast<size_t>(a)], sb = score[static_cast<size_t>(b)];
    return sa != sb ? sa > sb : a < b;
  };
  if (options.temperature == 0) return *std::min_element(order.begin(), order.end(), likelier);

  const size_t kept =
      options.top_k > 0 ? std::min(order.size(), static_cast<size_t>(options.top_k)) : order.size();
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                    likelier);
  order.resize(kept);

  const double top = score[static_cast<size_t>(order[0])];
  std::vector<double> weight(kept);
  double total = 0;
  for (size_t i = 0; i < kept; ++i) {
    weight[i] = std::exp((score[static_cast<size_t>(order[i])] - top) / options.temperature);
    total += weight[i];
  }
  size_t allowed = kept;
  if (options.top_p < 1) {
    double sum = 0;
    for (allowed = 0; allowed < kept && sum < options.top_p * total; ++allowed)
      sum += weight[allowed];
  }
  if (options.min_p > 0) {
    size_t above = 0;
    while (above < allowed && weight[above] >= options.min_p * weight[0]) ++above;
    allowed = above;
  }
  allowed = std::max<size_t>(allowed, 1);

  double left =
      uniform *
      std::accumulate(weight.begin(), weight.begin() + static_cast<std::ptrdiff_t>(allowed), 0.0);
  for (size_t i = 0; i < allowed; ++i) {
    left -= weight[i];
    if (left < 0) return order[i];
  }
  return order[allowed - 1];
}

}  // namespace pointwork
