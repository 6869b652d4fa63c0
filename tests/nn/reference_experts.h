#pragma once
// Token choice, row by row in float64. Included by reference.h.

#include "pointwork/config/grammar.h"
#include "pointwork/route/router_features.h"
#include "tests/nn/reference.h"

namespace pointwork::test::slow {

// What one row chose, in order.
struct RowChoice {
  std::vector<int64_t> expert;  // from E on a no-op, -1 none
  std::vector<Tensor> weight;   // float64 []
  std::vector<bool> kept;
};

// h' of a GRU cell: ρ = σ(a₁ + c₁), z = σ(a₂ + c₂), n = tanh(a₃ + ρ c₃), h' = n + z (h − n).
inline Tensor gru(const GruFeatures& g, const Tensor& x, const Tensor& extra, const Tensor& h) {
  Tensor in = extra.defined() ? x + extra : x;
  if (g.projection.defined()) in = affine(g.projection, in, {});
  const Tensor a = affine(g.input, in, g.input_bias), c = affine(g.recurrent, h, g.recurrent_bias);
  const int64_t r = h.size(0);
  const auto part = [&](const Tensor& t, int64_t i) { return t.slice(0, i * r, (i + 1) * r); };
  const Tensor reset = 1 / (1 + (-(part(a, 0) + part(c, 0))).exp());
  const Tensor update = 1 / (1 + (-(part(a, 1) + part(c, 1))).exp());
  const Tensor fresh = (part(a, 2) + reset * part(c, 2)).tanh();
  return fresh + update * (h - fresh);
}

// `h`: the row's state, which becomes the next.
inline Tensor logits_of(const RouteConfig& c, const TokenRouter& router, const Tensor& read,
                        int64_t round, Tensor& h) {
  const auto wide = [](const Tensor& t) { return t.to(torch::kFloat64); };
  Tensor x = read;
  if (c.router_input == RouterInput::normalised) x = x / ((x * x).mean() + 1e-6).sqrt();
  const Tensor extra = router.round_embedding.defined() ? router.round_embedding[round] : Tensor();
  Tensor f = x;
  if (const auto* mlp = dynamic_cast<const MlpFeatures*>(router.features.get())) {
    const Tensor y = affine(mlp->hidden, extra.defined() ? x + extra : x, mlp->hidden_bias);
    f = y * y.gt(0);
  } else if (const auto* cell = dynamic_cast<const GruFeatures*>(router.features.get())) {
    f = h = gru(*cell, x, extra, h.defined() ? h : torch::zeros({cell->size()}, torch::kFloat64));
  } else if (extra.defined()) {
    f = x + extra;
  }
  Tensor logits = (wide(router.weight) * f).sum(1);
  if (router.output_bias.defined()) logits = logits + router.output_bias;
  if (router.round_bias.defined()) logits = logits + router.round_bias[round];
  return logits / c.temperature;
}

// `favoured`: added to what is ranked.
inline RowChoice choice_of(const RouteConfig& c, const TokenRouter& router, const Tensor& logits,
                           const Tensor& favoured, int64_t top_k) {
  const Tensor e = (logits - logits.max().detach()).exp();
  const Tensor p = c.score == RouterScore::softmax ? e / e.sum() : 1 / (1 + (-logits).exp());
  std::vector<double> score(static_cast<size_t>(p.size(0)));
  for (size_t i = 0; i < score.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    score[i] = router.bias.defined() ? (p[at] + router.bias[at]).item<double>()
                                     : logits[at].item<double>();
    score[i] += favoured[at].item<double>();
  }
  std::vector<int64_t> order;
  for (size_t i = 0; i < score.size(); ++i) order.push_back(static_cast<int64_t>(i));
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return score[static_cast<size_t>(a)] > score[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(top_k));
  if (c.second_choice == SecondChoice::threshold) {
    const double first = p[order[0]].item<double>(), second = p[order[1]].item<double>();
    if (second / (first + second) <= c.second_threshold) order[1] = -1;
  }
  RowChoice row;
  Tensor sum = torch::zeros({}, torch::kFloat64);
  for (const int64_t chosen : order) {
    if (chosen >= 0) sum = sum + p[chosen];
  }
  for (const int64_t chosen : order) {
    Tensor w = torch::zeros({}, torch::kFloat64);
    if (chosen >= 0 && c.weight == RouterWeight::raw) w = p[chosen];
    if (chosen >= 0 && c.weight == RouterWeight::renormalised) w = p[chosen] / sum;
    if (chosen >= 0 && c.weight == RouterWeight::ste) w = 1 + p[chosen] - p[chosen].detach();
    if (chosen >= 0 && c.weight == RouterWeight::none) w = torch::ones({}, torch::kFloat64);
    row.expert.push_back(chosen);
    row.weight.push_back(w * c.routed_scaling_factor);
    row.kept.push_back(chosen >= 0);
  }
  return row;
}

// In each group an expert keeps its capacity: first choices before second ones, then whoever comes
// first or weighs most.
inline void drop(const RouteConfig& c, const Places& at, const Pass& pass,
                 std::vector<RowChoice>& rows) {
  if (pass.routing == Routing::inference || c.dropless) return;
  const bool by_sequence = c.num_experts == 1 || c.capacity_per_sequence > 0;
  const size_t all = rows.size();
  std::map<size_t, std::vector<size_t>> groups;
  const size_t group = c.group_size > 0 ? std::min(static_cast<size_t>(c.group_size), all) : all;
  for (size_t t = 0; t < all; ++t)
    groups[by_sequence ? static_cast<size_t>(at[t].sequence) : t / group].push_back(t);
  const size_t each = by_sequence ? groups.begin()->second.size() : group;
  size_t capacity = static_cast<size_t>(c.capacity_per_sequence);
  if (capacity == 0) {
    const double factor = pass.training ? c.capacity_factor : c.eval_capacity_factor;
    const double experts = static_cast<double>(c.num_experts);
    const double fair = c.target_active > 0 ? c.target_active / experts
                                            : static_cast<double>(c.top_k) /
                                                  (experts + static_cast<double>(c.num_noop));
    const double slots = factor * fair * static_cast<double>(each);
    capacity = static_cast<size_t>(
        std::max(c.capacity_rounding == CapacityRounding::floor   ? std::floor(slots)
                 : c.capacity_rounding == CapacityRounding::round ? std::round(slots)
                                                                  : std::ceil(slots),
                 static_cast<double>(c.min_capacity)));
  }
  capacity = std::min(capacity, each);
  for (const auto& [number, members] : groups) {
    std::vector<size_t> taken(static_cast<size_t>(c.num_experts), 0);
    for (size_t rank = 0; rank < static_cast<size_t>(c.top_k); ++rank) {
      std::vector<size_t> order = members;
      if (c.priority == CapacityPriority::probability) {
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
          return rows[a].weight[rank].item<double>() > rows[b].weight[rank].item<double>();
        });
      }
      for (const size_t t : order) {
        const int64_t expert = rows[t].expert[rank];
        if (expert < 0 || expert >= c.num_experts) continue;
        rows[t].kept[rank] = taken[static_cast<size_t>(expert)]++ < capacity;
      }
    }
  }
}

// What every row chose, before it is known who is kept where.
inline std::vector<RowChoice> choices_of(const RouteConfig& c, const TokenRouter& router,
                                         const Stream& read, const Places& at, const Pass& pass,
                                         int64_t round) {
  Memories none;
  Memory& memory = (pass.memories ? *pass.memories : none)[&router];
  memory.hidden.resize(read.size());
  memory.exited.resize(read.size(), false);
  const int64_t here = round % pass.rounds;
  Tensor favoured = torch::zeros({c.choices()}, torch::kFloat64);
  if (pass.step < c.in_order_steps)
    favoured[std::min(here, c.num_experts)] =
        c.in_order_bias *
        (1 - static_cast<double>(pass.step) / static_cast<double>(c.in_order_steps));
  int64_t top_k = c.top_k;
  if (c.top_k_start > c.top_k && pass.step < c.top_k_steps)
    top_k = c.top_k_start - pass.step * (c.top_k_start - c.top_k) / c.top_k_steps;
  std::vector<RowChoice> rows;
  for (size_t t = 0; t < read.size(); ++t) {
    const Tensor logits = logits_of(c, router, read[t], here, memory.hidden[t]);
    Tensor own = favoured;
    if (c.absorbing && memory.exited[t]) {
      own = torch::full_like(favoured, -1e9);
      own[c.num_experts] = 0;
    }
    rows.push_back(choice_of(c, router, logits, own, top_k));
    memory.exited[t] = rows[t].expert[0] >= c.num_experts;
    if (!at[t].valid) rows[t].expert.assign(rows[t].expert.size(), -1);
  }
  drop(c, at, pass, rows);
  return rows;
}

inline Stream token_choice_delta(const Config& config, const RoutedConfig& c, const Routed& routed,
                                 const Stream& x, const Places& at, const Pass& pass,
                                 int64_t round) {
  const auto& router = dynamic_cast<const TokenRouter&>(*routed.router);
  Stream read;
  for (const Tensor& row : x)
    read.push_back(routed.norm ? normed(row, *routed.norm, config.model) : row);
  const std::vector<RowChoice> rows = choices_of(c.route, router, read, at, pass, round);

  const int64_t experts = c.route.num_experts;
  Stream inner, block;
  Places places;
  std::vector<size_t> where(x.size(), SIZE_MAX);
  if (experts == 1) {
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t rank = 0; rank < rows[t].expert.size(); ++rank) {
        if (rows[t].expert[rank] != 0 || !rows[t].kept[rank]) continue;
        where[t] = inner.size();
        inner.push_back(read[t]);
        places.push_back(at[t]);
      }
    }
    block = delta(config, c.of, *routed.body, inner, places, pass, round);
  }
  Stream sum;
  for (size_t t = 0; t < x.size(); ++t) {
    Tensor added = torch::zeros_like(x[t]);
    for (size_t rank = 0; rank < rows[t].expert.size(); ++rank) {
      const int64_t expert = rows[t].expert[rank];
      const Tensor& w = rows[t].weight[rank];
      if (expert >= experts && c.route.noop == NoopKind::copy) added = added + w * read[t];
      if (expert < 0 || expert >= experts || !rows[t].kept[rank]) continue;
      added =
          added + w * (experts == 1
                           ? block[where[t]]
                           : expert_delta(dynamic_cast<const pointwork::Mlp&>(*routed.body), expert,
                                          *routed_mlp(config, c), config.model, read[t]));
    }
    sum.push_back(added);
  }
  return sum;
}

inline Stream expert_choice_delta(const Config& config, const RoutedConfig& c, const Routed& routed,
                                  const Stream& x, const Places& at, const Pass& pass) {
  const auto& router = dynamic_cast<const DepthRouter&>(*routed.router);
  Stream read, sum;
  for (const Tensor& row : x) {
    read.push_back(routed.norm ? normed(row, *routed.norm, config.model) : row);
    sum.push_back(torch::zeros_like(row));
  }
  for (int64_t e = 0; e < c.route.num_experts; ++e) {
    std::vector<Tensor> r;
    std::vector<double> score;
    for (const Tensor& row : read) {
      r.push_back((router.weight[e] * row).sum());
      score.push_back(r.back().item<double>());
    }
    for (const size_t t : entering(router, read, score, at, pass, e)) {
      const Tensor w = c.route.weight == RouterWeight::sigmoid ? 1 / (1 + (-r[t]).exp()) : r[t];
      sum[t] = sum[t] + w * expert_delta(dynamic_cast<const pointwork::Mlp&>(*routed.body), e,
                                         *routed_mlp(config, c), config.model, read[t]);
    }
  }
  return sum;
}

}  // namespace pointwork::test::slow
