#include <cmath>

#include "pointwork/kernels/reference.h"

namespace pointwork::kernels::reference {
namespace {

// Whether `a` ranks above `b`; what is no number above nothing.
bool above(double a, double b) { return std::isnan(b) ? !std::isnan(a) : a > b; }

}  // namespace

Rows highest_columns(const Values& score, int64_t columns, int64_t k,
                     const std::vector<uint8_t>& valid) {
  const auto rows = static_cast<int64_t>(score.size()) / columns;
  Rows out(static_cast<size_t>(rows * k), -1);
  for (int64_t t = 0; t < rows; ++t) {
    if (!valid.empty() && !valid[t]) continue;
    const double* x = score.data() + t * columns;
    for (int64_t c = 0; c < columns; ++c) {
      int64_t rank = 0;
      for (int64_t other = 0; other < columns; ++other)
        rank += above(x[other], x[c]) || (other < c && !above(x[c], x[other]));
      if (rank < k) out[t * k + rank] = static_cast<int32_t>(c);
    }
  }
  return out;
}

std::vector<uint8_t> keep_pairs(const Rows& choice, const Values& weight,
                                const cpu::KeepShape& shape) {
  const auto pairs = static_cast<int64_t>(choice.size());
  const auto goes_before = [&](int64_t p, int64_t q) {
    const int64_t p_rank = p % shape.k, q_rank = q % shape.k;
    if (p_rank != q_rank) return p_rank < q_rank;
    if (weight.empty() || !(above(weight[p], weight[q]) || above(weight[q], weight[p])))
      return p < q;
    return above(weight[p], weight[q]);
  };
  std::vector<uint8_t> kept(choice.size());
  for (int64_t p = 0; p < pairs; ++p) {
    if (choice[p] < 0 || choice[p] >= shape.experts) continue;
    const int64_t group = p / shape.k / shape.group;
    int64_t before = 0;
    for (int64_t q = 0; q < pairs; ++q)
      before += choice[q] == choice[p] && q / shape.k / shape.group == group && goes_before(q, p);
    kept[p] = before < shape.capacity;
  }
  return kept;
}

PairOrder sort_pairs(const Rows& choice, const std::vector<uint8_t>& kept, int64_t experts,
                     int64_t slots) {
  PairOrder out;
  for (int64_t e = 0; e < experts; ++e) {
    out.offset.push_back(static_cast<int32_t>(out.pair.size()));
    for (size_t p = 0; p < choice.size(); ++p)
      if (choice[p] == e && (kept.empty() || kept[p])) out.pair.push_back(static_cast<int32_t>(p));
  }
  out.offset.push_back(static_cast<int32_t>(out.pair.size()));
  out.pair.resize(static_cast<size_t>(slots), -1);
  return out;
}

}  // namespace pointwork::kernels::reference
