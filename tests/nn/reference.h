#pragma once
// The grammar once more, row by row in float64 with no cleverness: what every branch adds, written
// as its paper or config key says. Differentiable by the library's elementary operations alone.

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "pointwork/base/rng.h"
#include "pointwork/config/config.h"
#include "pointwork/nn/attention.h"
#include "pointwork/nn/mlp.h"
#include "pointwork/nn/routed.h"
#include "pointwork/route/depth_router.h"
#include "pointwork/route/token_router.h"
#include "tests/support/tensors.h"

namespace pointwork::test::slow {

// What a row is.
struct Place {
  int64_t sequence, position, document, key;
  bool valid;
};
using Places = std::vector<Place>;
using Stream = std::vector<Tensor>;  // float64 [D] a row

inline Places places_of(const Rows& rows) {
  Places all;
  const auto sequence = elements<int32_t>(rows.sequence),
             position = elements<int32_t>(rows.position);
  for (size_t t = 0; t < sequence.size(); ++t) {
    const auto at = static_cast<int64_t>(t);
    all.push_back({sequence[t], position[t],
                   rows.document.defined() ? rows.document[at].item<int32_t>() : 0,
                   rows.key[sequence[t]].item<int64_t>(),
                   !rows.valid.defined() || rows.valid[at].item<bool>()});
  }
  return all;
}

inline Stream rows_of(const Tensor& x) {
  Stream rows;
  for (int64_t t = 0; t < x.size(0); ++t) rows.push_back(x[t]);
  return rows;
}

inline Stream plus(const Stream& a, const Stream& b) {
  Stream sum;
  for (size_t t = 0; t < a.size(); ++t) sum.push_back(a[t] + b[t]);
  return sum;
}

inline Tensor affine(const Tensor& weight, const Tensor& x, const Tensor& bias) {
  const Tensor y = (weight * x).sum(1);
  return bias.defined() ? y + bias : y;
}

inline Tensor normed(const Tensor& x, const Tensor& weight, const Tensor& bias, bool centred,
                     double eps) {
  const Tensor c = centred ? x - x.mean() : x;
  const Tensor y = c / ((c * c).mean() + eps).sqrt() * weight;
  return bias.defined() ? y + bias : y;
}

inline Tensor normed(const Tensor& x, const pointwork::Norm& norm, const ModelConfig& model) {
  return normed(x, norm.weight, norm.bias, model.norm == NormKind::layernorm, model.norm_eps);
}

// theta^(−2i / dims), stretched: low frequencies divided by a factor (Llama 3), or all.
inline double frequency(const AttentionConfig& config, int64_t i, int64_t dims) {
  const double f =
      std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(dims));
  const RopeScalingConfig& r = config.rope_scaling;
  if (r.kind == RopeScalingKind::none) return f;
  if (r.kind == RopeScalingKind::linear) return f / r.factor;
  const double turns = static_cast<double>(r.original_max_position_embeddings) * f / (2 * M_PI);
  const double smooth =
      std::clamp((turns - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor), 0.0, 1.0);
  return smooth * f + (1 - smooth) * f / r.factor;
}

// Pairs (i, i + dims / 2) turned by position · frequency.
inline Tensor rotated(const Tensor& x, int64_t position, int64_t dims,
                      const AttentionConfig& config) {
  const int64_t half = dims / 2;
  Tensor c = torch::empty({half}, torch::kFloat64), s = torch::empty_like(c);
  for (int64_t i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * frequency(config, i, dims);
    c[i] = std::cos(angle);
    s[i] = std::sin(angle);
  }
  const Tensor a = x.slice(0, 0, half), b = x.slice(0, half, dims);
  return torch::cat({a * c - b * s, a * s + b * c, x.slice(0, dims)});
}

// What attention gives each row, heads side by side, of their projections. `seen`: rows whose keys
// there are.
inline Stream mixed_rows(const pointwork::Attention& a, const AttentionConfig& config,
                         const ModelConfig& model, const Stream& projected, const Places& at,
                         const std::vector<bool>& seen) {
  const int64_t heads = config.num_attention_heads,
                groups = config.num_key_value_heads > 0 ? config.num_key_value_heads : heads,
                size = config.head_dim > 0 ? config.head_dim : model.hidden_size / heads;
  const auto turned =
      static_cast<int64_t>(std::llround(config.partial_rotary_factor * static_cast<double>(size)));
  const double scale = config.scale > 0 ? config.scale : 1 / std::sqrt(static_cast<double>(size));
  // One norm over a whole projection, or each head with the same weight.
  const auto heads_of = [&](const Tensor& flat, int64_t count, const Tensor& weight,
                            int64_t position) {
    std::vector<Tensor> all;
    const Tensor whole = config.qk_norm == QkNorm::projection
                             ? normed(flat, weight, {}, false, model.norm_eps)
                             : flat;
    for (int64_t h = 0; h < count; ++h) {
      Tensor head = whole.slice(0, h * size, (h + 1) * size);
      if (config.qk_norm == QkNorm::head) head = normed(head, weight, {}, false, model.norm_eps);
      all.push_back(config.rope_theta > 0 ? rotated(head, position, turned, config) : head);
    }
    return all;
  };
  std::vector<std::vector<Tensor>> query, key, value;
  for (size_t t = 0; t < projected.size(); ++t) {
    const Tensor& p = projected[t];
    query.push_back(heads_of(p.slice(0, 0, heads * size), heads, a.query_norm, at[t].position));
    key.push_back(heads_of(p.slice(0, heads * size, (heads + groups) * size), groups, a.key_norm,
                           at[t].position));
    value.push_back({});
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = (heads + groups + g) * size;
      value.back().push_back(p.slice(0, first, first + size));
    }
  }
  Stream out;
  for (size_t t = 0; t < projected.size(); ++t) {
    std::vector<Tensor> mixed;
    for (int64_t h = 0; h < heads; ++h) {
      const auto g = static_cast<size_t>(h * groups / heads);
      std::vector<Tensor> keys, values;
      for (size_t j = 0; j <= t; ++j) {
        if (at[j].sequence != at[t].sequence || at[j].document != at[t].document) continue;
        if (!seen[j] && j != t) continue;
        keys.push_back(key[j][g]);
        values.push_back(value[j][g]);
      }
      const Tensor score = (torch::stack(keys) * query[t][static_cast<size_t>(h)]).sum(1) * scale;
      const Tensor e = (score - score.max().detach()).exp();
      mixed.push_back((torch::stack(values) * (e / e.sum()).unsqueeze(1)).sum(0));
    }
    out.push_back(torch::cat(mixed));
  }
  return out;
}

inline Stream attention(const pointwork::Attention& a, const AttentionConfig& config,
                        const ModelConfig& model, const Stream& x, const Places& at) {
  Stream projected, out;
  for (const Tensor& row : x)
    projected.push_back(affine(a.qkv, a.norm ? normed(row, *a.norm, model) : row, a.qkv_bias));
  const std::vector<bool> all(x.size(), true);
  for (const Tensor& mixed : mixed_rows(a, config, model, projected, at, all)) {
    const Tensor delta = affine(a.output, mixed, a.output_bias);
    out.push_back(a.output_norm ? normed(delta, *a.output_norm, model) : delta);
  }
  return out;
}

inline Tensor activated(const Tensor& x, Activation kind) {
  const Tensor half = 0.5 * x;
  switch (kind) {
    case Activation::gelu:
      return half * (1 + (x / std::sqrt(2.0)).erf());
    case Activation::gelu_tanh:
      return half * (1 + (std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)).tanh());
    case Activation::relu:
      return x * x.gt(0);
    case Activation::swiglu: {
      const int64_t width = x.size(0) / 2;
      const Tensor gate = x.slice(0, 0, width);
      return gate / (1 + (-gate).exp()) * x.slice(0, width);
    }
  }
  fail("unknown activation");
}

// What expert e adds to a row it reads; without experts, what the mlp adds.
inline Tensor expert_delta(const pointwork::Mlp& m, int64_t e, const MlpConfig& config,
                           const ModelConfig& model, const Tensor& row) {
  const auto own = [&](const Tensor& all) {
    return all.defined() && m.experts() > 0 ? all[e] : all;
  };
  const auto norm = [&](const Tensor& x, const std::shared_ptr<pointwork::Norm>& n) {
    return n ? normed(x, own(n->weight), own(n->bias), model.norm == NormKind::layernorm,
                      model.norm_eps)
             : x;
  };
  const Tensor h =
      activated(affine(own(m.up), norm(row, m.norm), own(m.up_bias)), config.hidden_act);
  return norm(affine(own(m.down), h, own(m.down_bias)), m.output_norm);
}

inline Stream mlp_delta(const pointwork::Mlp& m, const MlpConfig& config, const ModelConfig& model,
                        const Stream& x) {
  Stream out;
  for (const Tensor& row : x) out.push_back(expert_delta(m, 0, config, model, row));
  return out;
}

// What a router keeps of each row from round to round.
struct Memory {
  std::vector<Tensor> hidden;  // float64 [r]
  std::vector<bool> exited;
};
using Memories = std::map<const Router*, Memory>;

// A forward pass's settings.
struct Pass {
  Routing routing = Routing::training;
  int64_t step = 0;
  uint64_t seed = 1;
  bool training = false;         // whose capacity factor it is
  int64_t rounds = 1;            // of the nearest repeat around
  Memories* memories = nullptr;  // of its routers; null outside of repeats
};

// Rows that enter, ascending: all, or the top ⌈c·v⌉ of each sequence's v valid ones, or causally
// those whose decision is above 0.
inline std::vector<size_t> entering(const DepthRouter& router, const Stream& x,
                                    const std::vector<double>& score, const Places& at,
                                    const Pass& pass, int64_t expert = 0) {
  const double capacity = router.capacity(pass.step);
  std::vector<size_t> rows;
  if (capacity >= 1) {
    for (size_t t = 0; t < at.size(); ++t) rows.push_back(t);
    return rows;
  }
  if (pass.routing == Routing::inference) {
    for (size_t t = 0; t < at.size(); ++t) {
      double decision = score[t];
      if (router.config().choice == ChoiceKind::random) {
        // Φ⁻¹(1 − c) by bisection.
        double low = -10, high = 10;
        for (int i = 0; i < 80; ++i) {
          const double middle = (low + high) / 2;
          (0.5 * std::erfc(middle / std::sqrt(2.0)) > capacity ? low : high) = middle;
        }
        decision -= low;
      } else if (router.threshold.defined()) {
        decision -= router.threshold[0].item<double>();
      } else if (router.predictor) {
        const Predictor& p = *router.predictor;
        const Tensor h = affine(p.hidden, x[t], p.hidden_bias);
        const Tensor output = p.output.dim() == 2 ? p.output[expert] : p.output;
        decision = ((h / (1 + (-h).exp()) * output).sum() + p.output_bias[expert]).item<double>();
      }
      if (at[t].valid && decision > 0) rows.push_back(t);
    }
    return rows;
  }
  std::map<int64_t, std::vector<size_t>> sequences;
  for (size_t t = 0; t < at.size(); ++t)
    if (at[t].valid) sequences[at[t].sequence].push_back(t);
  for (auto& [sequence, candidates] : sequences) {
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](size_t a, size_t b) { return score[a] > score[b]; });
    const double share = capacity * static_cast<double>(candidates.size());
    candidates.resize(static_cast<size_t>(std::ceil(share - 1e-9)));
    std::sort(candidates.begin(), candidates.end());
    rows.insert(rows.end(), candidates.begin(), candidates.end());
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

inline Stream delta(const Config& config, const std::string& name, const torch::nn::Module& module,
                    const Stream& x, const Places& at, const Pass& pass, int64_t round = 0);

// What a branch whose tokens choose adds (reference_experts.h).
inline Stream token_choice_delta(const Config& config, const RoutedConfig& c, const Routed& routed,
                                 const Stream& x, const Places& at, const Pass& pass,
                                 int64_t round);

// What attention adds whose weights are of experts (reference_modules.h).
inline Stream modules_delta(const AttentionConfig& c, const ModelConfig& model,
                            const pointwork::Attention& attention, const Stream& x,
                            const Places& at, const Pass& pass, int64_t round);

// What experts that choose their tokens add.
inline Stream expert_choice_delta(const Config& config, const RoutedConfig& c, const Routed& routed,
                                  const Stream& x, const Places& at, const Pass& pass);

// What the branch `name` adds to each row of x. `round`: of the repeats around.
inline Stream delta(const Config& config, const std::string& name, const torch::nn::Module& module,
                    const Stream& x, const Places& at, const Pass& pass, int64_t round) {
  const auto& form = config.branch.at(name).form;
  if (x.empty()) return {};
  if (const auto* c = std::get_if<AttentionConfig>(&form)) {
    const auto& leaf = dynamic_cast<const pointwork::Attention&>(module);
    if (c->projection_route) return modules_delta(*c, config.model, leaf, x, at, pass, round);
    return attention(leaf, *c, config.model, x, at);
  }
  if (const auto* c = std::get_if<MlpConfig>(&form))
    return mlp_delta(dynamic_cast<const pointwork::Mlp&>(module), *c, config.model, x);

  const auto children = module.named_children();
  const auto zero = [&] {
    Stream none;
    for (const Tensor& row : x) none.push_back(torch::zeros_like(row));
    return none;
  };
  Stream sum = zero();
  if (const auto* c = std::get_if<ChainConfig>(&form)) {
    for (size_t i = 0; i < c->of.size(); ++i)
      sum = plus(sum, delta(config, c->of[i], *children[i].value(), plus(x, sum), at, pass, round));
    return sum;
  }
  if (const auto* c = std::get_if<ParallelConfig>(&form)) {
    // With the norm outside, the first child, all others read the same normalised rows.
    const bool outside = c->norm == ParallelNorm::outside;
    Stream read = x;
    if (outside) {
      const auto& norm = dynamic_cast<const pointwork::Norm&>(*children[0].value());
      for (Tensor& row : read) row = normed(row, norm, config.model);
    }
    for (size_t i = 0; i < c->of.size(); ++i)
      sum =
          plus(sum, delta(config, c->of[i], *children[i + outside].value(), read, at, pass, round));
    return sum;
  }
  if (const auto* c = std::get_if<RepeatConfig>(&form)) {
    Memories fresh;
    Pass inside = pass;
    inside.rounds = c->times;
    inside.memories = &fresh;
    for (int64_t i = 0; i < c->times; ++i) {
      sum = plus(sum, delta(config, c->of, *children[0].value(), plus(x, sum), at, inside,
                            round * c->times + i));
    }
    return sum;
  }

  // Mixture-of-Depths, eq. 1: x + r · (Block(x̃) − x) for chosen rows, x for the others.
  const auto& c = std::get<RoutedConfig>(form);
  const auto& routed = dynamic_cast<const Routed&>(module);
  if (c.route.by_token()) return token_choice_delta(config, c, routed, x, at, pass, round);
  if (c.route.num_experts > 1) return expert_choice_delta(config, c, routed, x, at, pass);
  const auto& router = dynamic_cast<const DepthRouter&>(*routed.router);
  std::vector<Tensor> r;
  std::vector<double> score;
  Stream read;
  for (const Tensor& row : x)
    read.push_back(routed.norm ? normed(row, *routed.norm, config.model) : row);
  for (size_t t = 0; t < x.size(); ++t) {
    if (c.route.choice == ChoiceKind::random) {
      const uint64_t key = stream_key(pass.seed, router.name() + "#" + std::to_string(round));
      const double z = random_normal(key, static_cast<uint64_t>(at[t].position),
                                     static_cast<uint64_t>(at[t].key));
      r.push_back(torch::full({}, static_cast<double>(static_cast<float>(z)), torch::kFloat64));
    } else {
      r.push_back((router.weight * read[t]).sum());
    }
    score.push_back(r.back().item<double>());
  }
  const auto weight_of = [&](const Tensor& raw) {
    switch (c.route.weight) {
      case RouterWeight::raw:
        return raw;
      case RouterWeight::sigmoid:
        return 1 / (1 + (-raw).exp());
      case RouterWeight::tanh:
        return 1 + c.route.tanh_alpha * raw.tanh();
      case RouterWeight::none:
        return torch::ones_like(raw);
      default:
        fail("unknown weight");
    }
  };
  Stream inner;
  Places places;
  const std::vector<size_t> chosen = entering(router, read, score, at, pass);
  for (const size_t t : chosen) {
    inner.push_back(read[t]);
    places.push_back(at[t]);
  }
  const Stream block = plus(inner, delta(config, c.of, *routed.body, inner, places, pass, round));
  for (size_t s = 0; s < chosen.size(); ++s) {
    const size_t t = chosen[s];
    const Tensor out = x[t] + weight_of(r[t]) * (block[s] - read[t]);
    sum[t] = out - x[t];
  }
  return sum;
}

}  // namespace pointwork::test::slow

#include "tests/nn/reference_experts.h"
#include "tests/nn/reference_modules.h"
