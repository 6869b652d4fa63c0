#include "pointwork/kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace pointwork::kernels::reference {
namespace {

int64_t size(const Values& x) { return static_cast<int64_t>(x.size()); }
int64_t size(const Rows& x) { return static_cast<int64_t>(x.size()); }

// The rows of a segment that may be chosen, best first.
Rows ranking(const Values& score, int32_t begin, int32_t end, const std::vector<uint8_t>& valid) {
  Rows rows;
  for (int32_t t = begin; t < end; ++t) {
    if (valid.empty() || valid[t]) rows.push_back(t);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [&](int32_t a, int32_t b) { return score[a] > score[b]; });
  return rows;
}

}  // namespace

void Bounded::add(int64_t at, double term, double strength) {
  value[at] += term;
  terms[at] += std::abs(term) * strength;
}

Bounded gather_rows(const Values& x, const Rows& token, const Values& weight, int64_t width) {
  Bounded out(size(token) * width);
  for (int64_t s = 0; s < size(token); ++s) {
    for (int64_t i = 0; i < width && token[s] >= 0; ++i) {
      out.add(s * width + i, (weight.empty() ? 1 : weight[s]) * x[token[s] * width + i]);
    }
  }
  return out;
}

Bounded scatter_rows(const Values& base, const Values& y, const Values& weight, const Rows& token,
                     int64_t rows, int64_t width) {
  Bounded out(rows * width);
  for (int64_t i = 0; i < size(base); ++i) out.add(i, base[i]);
  for (int64_t s = 0; s < size(token); ++s) {
    for (int64_t i = 0; i < width && token[s] >= 0; ++i) {
      out.add(token[s] * width + i, (weight.empty() ? 1 : weight[s]) * y[s * width + i]);
    }
  }
  return out;
}

GatherDot gather_dot_rows(const Values& d_out, const Values& y, const Rows& token,
                          const Values& weight, int64_t width) {
  GatherDot out{gather_rows(d_out, token, weight, width), Bounded(size(token))};
  for (int64_t s = 0; s < size(token); ++s) {
    for (int64_t i = 0; i < width && token[s] >= 0; ++i) {
      out.d_weight.add(s, y[s * width + i] * d_out[token[s] * width + i]);
    }
  }
  return out;
}

SlotIndex index_slots(const Rows& token, int64_t rows) {
  SlotIndex out;
  for (int64_t t = 0; t < rows; ++t) {
    out.row_offset.push_back(static_cast<int32_t>(out.row_slot.size()));
    for (int64_t s = 0; s < size(token); ++s) {
      if (token[s] == t) out.row_slot.push_back(static_cast<int32_t>(s));
    }
  }
  out.row_offset.push_back(static_cast<int32_t>(out.row_slot.size()));
  return out;
}

Rows top_rows(const Values& score, const Rows& start, const std::vector<uint8_t>& valid,
              const Rows& count, int64_t each) {
  Rows token;
  for (size_t b = 0; b + 1 < start.size(); ++b) {
    Rows rows = ranking(score, start[b], start[b + 1], valid);
    rows.resize(std::min<size_t>(rows.size(), std::clamp<int64_t>(count[b], 0, each)));
    std::sort(rows.begin(), rows.end());
    rows.resize(static_cast<size_t>(each), -1);
    token.insert(token.end(), rows.begin(), rows.end());
  }
  return token;
}

Values kth_score(const Values& score, const Rows& start, const std::vector<uint8_t>& valid,
                 const Rows& rank) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Values value;
  for (size_t b = 0; b + 1 < start.size(); ++b) {
    const Rows rows = ranking(score, start[b], start[b + 1], valid);
    if (rank[b] < 1) {
      value.push_back(kInfinity);
    } else {
      value.push_back(rank[b] > size(rows) ? -kInfinity : score[rows[rank[b] - 1]]);
    }
  }
  return value;
}

CrossEntropy cross_entropy_rows(const Values& logits, int64_t vocab, const Rows& target,
                                double scale, double z_weight) {
  const int64_t rows = size(target);
  CrossEntropy out{Bounded(rows * vocab), Bounded(rows), Bounded(rows), Rows(target.size(), -1)};
  for (int64_t t = 0; t < rows; ++t) {
    if (target[t] < 0) continue;
    const double* x = logits.data() + t * vocab;
    const double most = *std::max_element(x, x + vocab);
    double sum = 0;
    for (int64_t i = 0; i < vocab; ++i) sum += std::exp(x[i] - most);
    const double lse = most + std::log(sum);
    out.argmax[t] = static_cast<int32_t>(std::max_element(x, x + vocab) - x);
    // An exponential turns the absolute error of its argument into a relative one: of |x| + |most|
    // here.
    double reach = 1;
    for (int64_t i = 0; i < vocab; ++i)
      reach += std::exp(x[i] - lse) * (std::abs(x[i]) + std::abs(most));
    out.lse.add(t, lse);
    out.lse.terms[t] = std::abs(most) + std::abs(std::log(sum)) + reach;
    out.loss.add(t, lse - x[target[t]]);
    out.loss.terms[t] = std::abs(most) + std::abs(x[target[t]]) + std::abs(std::log(sum)) + reach;
    for (int64_t i = 0; i < vocab; ++i) {
      const double strength = 1 + std::abs(x[i]) + std::abs(most) + reach;
      const double softmax = scale * std::exp(x[i] - lse);
      out.grad.add(t * vocab + i, softmax, strength);
      out.grad.add(t * vocab + i, softmax * 2 * z_weight * lse, strength);
      if (i == target[t]) out.grad.add(t * vocab + i, -scale);
    }
  }
  return out;
}

Bounded rotate(const Values& x, const Rows& position, double theta, const cpu::RopeShape& shape,
               bool inverse) {
  Bounded out(size(x));
  const int64_t half = shape.dims / 2;
  for (int64_t t = 0; t < shape.rows; ++t) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t head = (t * shape.heads + h) * shape.head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = position[t] * std::pow(theta, -2.0 * static_cast<double>(i) /
                                                               static_cast<double>(shape.dims));
        const double c = std::cos(angle), s = inverse ? -std::sin(angle) : std::sin(angle);
        out.add(head + i, x[head + i] * c);
        out.add(head + i, -x[head + half + i] * s);
        out.add(head + half + i, x[head + half + i] * c);
        out.add(head + half + i, x[head + i] * s);
      }
      for (int64_t i = shape.dims; i < shape.head_dim; ++i) out.add(head + i, x[head + i]);
    }
  }
  return out;
}

Bounded attend(const Values& query, const AttendShape& shape, const Rows& sequence,
               const Rows& visible, const std::vector<Values>& key,
               const std::vector<Values>& value, double scale) {
  const int64_t d = shape.head_dim, group = shape.heads / shape.kv_heads;
  Bounded out(size(query));
  for (int64_t t = 0; t < size(sequence); ++t) {
    const Values &keys = key[sequence[t]], &values = value[sequence[t]];
    for (int64_t h = 0; h < shape.heads; ++h) {
      const double* q = query.data() + (t * shape.heads + h) * d;
      Values score(static_cast<size_t>(visible[t])), strength(score.size());
      for (int64_t j = 0; j < visible[t]; ++j) {
        for (int64_t i = 0; i < d; ++i) {
          const double term = scale * q[i] * keys[(j * shape.kv_heads + h / group) * d + i];
          score[j] += term;
          strength[j] += std::abs(term);
        }
      }
      if (score.empty()) continue;
      const double most = *std::max_element(score.begin(), score.end());
      double sum = 0, reach = 0;
      for (const double s : score) sum += std::exp(s - most);
      for (size_t j = 0; j < score.size(); ++j)
        reach += std::exp(score[j] - most) / sum * (1 + strength[j]);
      for (int64_t j = 0; j < visible[t]; ++j) {
        const double weight = std::exp(score[j] - most) / sum;
        for (int64_t i = 0; i < d; ++i) {
          out.add((t * shape.heads + h) * d + i,
                  weight * values[(j * shape.kv_heads + h / group) * d + i],
                  1 + strength[j] + reach);
        }
      }
    }
  }
  return out;
}

}  // namespace pointwork::kernels::reference
