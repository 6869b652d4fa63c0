#include "pointwork/decode/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

// Logits as they are sampled: those of tokens seen made less likely.
std::vector<double> scores_of(std::span<const float> logits, std::span<const int32_t> seen,
                              double penalty) {
  std::vector<double> score(logits.begin(), logits.end());
  if (penalty == 1) return score;
  std::vector<uint8_t> done(score.size());
  for (const int32_t id : seen) {
    if (id < 0 || static_cast<size_t>(id) >= score.size() || done[static_cast<size_t>(id)]++)
      continue;
    double& s = score[static_cast<size_t>(id)];
    s = s > 0 ? s / penalty : s * penalty;
  }
  return score;
}

// Keeps the fewest most likely ids, at least one, whose weights sum to `wanted`. Only about as many
// are sorted as are kept.
template <class Likelier>
void keep_nucleus(std::vector<int32_t>& ids, const std::vector<double>& weight, double wanted,
                  const Likelier& likelier) {
  size_t kept = 0, sorted = 0;
  for (double sum = 0; kept < ids.size() && (kept == 0 || sum < wanted); ++kept) {
    if (kept == sorted) {
      sorted = std::min(ids.size(), std::max<size_t>(64, 4 * sorted));
      const auto at = [&](size_t i) { return ids.begin() + static_cast<std::ptrdiff_t>(i); };
      std::partial_sort(at(kept), at(sorted), ids.end(), likelier);
    }
    sum += weight[static_cast<size_t>(ids[kept])];
  }
  ids.resize(kept);
}

}  // namespace

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
  const std::vector<double> score = scores_of(logits, seen, options.repetition_penalty);
  size_t best = 0;
  bool nan = false;
  for (size_t i = 0; i < score.size(); ++i) {
    nan = nan || std::isnan(score[i]);
    if (score[i] > score[best]) best = i;
  }
  check(!nan && std::isfinite(score[best]),
        "the model's logits are not numbers: its weights are damaged");
  if (options.temperature == 0) return static_cast<int32_t>(best);

  const auto likelier = [&](int32_t a, int32_t b) {
    const double sa = score[static_cast<size_t>(a)], sb = score[static_cast<size_t>(b)];
    return sa != sb ? sa > sb : a < b;
  };
  std::vector<int32_t> ids(score.size());
  std::iota(ids.begin(), ids.end(), 0);
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < ids.size()) {
    std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(options.top_k),
                      ids.end(), likelier);
    ids.resize(static_cast<size_t>(options.top_k));
  }
  std::vector<double> weight(score.size());  // relative to the most likely
  double total = 0;
  for (const int32_t id : ids) {
    const auto i = static_cast<size_t>(id);
    weight[i] = std::exp((score[i] - score[best]) / options.temperature);
    total += weight[i];
  }
  // Each of these two keeps a beginning of the order by likelihood, so they commute.
  if (options.min_p > 0)
    std::erase_if(ids, [&](int32_t id) { return weight[static_cast<size_t>(id)] < options.min_p; });
  if (options.top_p < 1) keep_nucleus(ids, weight, options.top_p * total, likelier);

  double left = 0;
  for (const int32_t id : ids) left += weight[static_cast<size_t>(id)];
  left *= uniform;
  int32_t last = static_cast<int32_t>(best);
  for (const int32_t id : ids) {
    const double own = weight[static_cast<size_t>(id)];
    if (own == 0) continue;
    left -= own;
    last = id;
    if (left < 0) break;
  }
  return last;
}

}  // namespace pointwork
