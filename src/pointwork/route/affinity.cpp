#include "pointwork/route/affinity.h"

#include <algorithm>

#include "pointwork/base/check.h"

namespace pointwork {

void AffinityCounts::add(const std::vector<int32_t>& tokens, const LayerTrace& layer) {
  const auto k = static_cast<size_t>(layer.top_k);
  check(layer.experts > 0 && layer.choice.size() == tokens.size() * k, "[affinity] layer ",
        layer.name, " must have ", k, " choices for each of ", tokens.size(), " tokens but has ",
        layer.choice.size());
  experts_ = std::max(experts_, layer.experts);
  for (size_t t = 0; t < tokens.size(); ++t) {
    if (layer.choice[t * k] < 0) continue;  // padding, or it never came here
    Token& token = tokens_[tokens[t]];
    ++token.seen;
    for (size_t i = 0; i < k; ++i) {
      const int32_t choice = layer.choice[t * k + i];
      if (choice < 0) continue;
      ++token.choices;
      ++token.by_choice[choice];
    }
  }
}

std::vector<ChoiceAffinity> AffinityCounts::read(const AffinityOptions& options) const {
  std::vector<int64_t> counts(static_cast<size_t>(experts_), 0);
  int64_t all = 0;
  for (const auto& [id, token] : tokens_) {
    for (const auto& [choice, count] : token.by_choice) {
      counts.resize(std::max(counts.size(), static_cast<size_t>(choice) + 1), 0);
      counts[static_cast<size_t>(choice)] += count;
      all += count;
    }
  }
  const auto total = static_cast<double>(all);
  std::vector<ChoiceAffinity> result(counts.size());
  for (size_t c = 0; c < counts.size() && all > 0; ++c)
    result[c].share = static_cast<double>(counts[c]) / total;
  for (const auto& [id, token] : tokens_) {
    if (token.seen < options.least) continue;
    for (const auto& [choice, count] : token.by_choice) {
      ChoiceAffinity& one = result[static_cast<size_t>(choice)];
      const double share = static_cast<double>(count) / static_cast<double>(token.choices);
      if (share > one.share) one.tokens.push_back({id, token.seen, share / one.share});
    }
  }
  for (ChoiceAffinity& one : result) {
    // Ids ascend already.
    std::stable_sort(one.tokens.begin(), one.tokens.end(),
                     [](const TokenAffinity& a, const TokenAffinity& b) {
                       return a.lift != b.lift ? a.lift > b.lift : a.seen > b.seen;
                     });
    if (one.tokens.size() > options.most) one.tokens.resize(options.most);
  }
  return result;
}

}  // namespace pointwork
