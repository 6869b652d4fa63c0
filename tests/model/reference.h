#pragma once
// The whole model again in double, from its config and its named weights, with plain loops over one
// sequence and no tensor, cache or autograd: what the architecture is defined to be.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pointwork/base/rng.h"
#include "pointwork/model/model.h"

namespace pointwork::test {

using Vec = std::vector<double>;
using Matrix = std::vector<Vec>;  // rows

class ReferenceModel {
 public:
  ReferenceModel(const Model& model, Routing routing, int64_t step, int64_t key, uint64_t seed)
      : config_(model.config()), routing_(routing), step_(step), key_(key), seed_(seed) {
    const auto take = [&](const auto& named) {
      for (const auto& item : named) {
        const Tensor host = item.value().detach().to(torch::kFloat64).contiguous();
        weight_[item.key()] = {host.data_ptr<double>(), host.data_ptr<double>() + host.numel()};
      }
    };
    take(model.named_parameters());
    take(model.named_buffers());
  }

  // Logits of each row.
  Matrix forward(const std::vector<int32_t>& token) {
    const auto width = static_cast<size_t>(config_.model.hidden_size);
    Matrix x;
    std::vector<size_t> position;
    for (size_t t = 0; t < token.size(); ++t) {
      const Vec& all = weight_.at("embedding");
      x.emplace_back(all.begin() + static_cast<size_t>(token[t]) * width,
                     all.begin() + static_cast<size_t>(token[t] + 1) * width);
      if (weight_.count("position")) {
        for (size_t i = 0; i < width; ++i) x[t][i] += weight_.at("position")[t * width + i];
      }
      position.push_back(t);
    }
    const ModelConfig& m = config_.model;
    for (int64_t i = 0; i < m.num_hidden_layers; ++i) {
      const auto first = static_cast<int64_t>(m.layers.first.size()),
                 last = static_cast<int64_t>(m.layers.last.size());
      const std::string& name =
          i < first ? m.layers.first[static_cast<size_t>(i)]
          : i >= m.num_hidden_layers - last
              ? m.layers.last[static_cast<size_t>(i - m.num_hidden_layers + last)]
              : m.layers.repeat[static_cast<size_t>(i - first) % m.layers.repeat.size()];
      add(x, delta(name, "layers." + std::to_string(i), x, position, 0));
    }
    Matrix logits;
    for (const Vec& row : norm(x, "norm"))
      logits.push_back(times(weight_.at(weight_.count("head") ? "head" : "embedding"), row));
    return logits;
  }

 private:
  static void add(Matrix& to, const Matrix& what, double factor = 1) {
    for (size_t t = 0; t < to.size(); ++t)
      for (size_t i = 0; i < to[t].size(); ++i) to[t][i] += factor * what[t][i];
  }

  // W x for W [out, in] row by row.
  static Vec times(const Vec& w, const Vec& x) {
    Vec y(w.size() / x.size());
    for (size_t o = 0; o < y.size(); ++o)
      y[o] = std::inner_product(x.begin(), x.end(),
                                w.begin() + static_cast<ptrdiff_t>(o * x.size()), 0.0);
    return y;
  }

  Vec linear(const std::string& name, const Vec& x) const {
    Vec y = times(weight_.at(name), x);
    if (const auto bias = weight_.find(name + "_bias"); bias != weight_.end())
      for (size_t i = 0; i < y.size(); ++i) y[i] += bias->second[i];
    return y;
  }

  void root_mean_square(double* x, size_t count, const double* w) const {
    double square = 0;
    for (size_t i = 0; i < count; ++i) square += x[i] * x[i];
    const double scale =
        1 / std::sqrt(square / static_cast<double>(count) + config_.model.norm_eps);
    for (size_t i = 0; i < count; ++i) x[i] *= scale * w[i];
  }

  // Where it stands here; a branch around may have it.
  Matrix norm(Matrix x, const std::string& name) const {
    if (!weight_.count(name + ".weight")) return x;
    for (Vec& row : x) {
      if (config_.model.norm == NormKind::layernorm) {
        const double mean =
            std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(row.size());
        for (double& v : row) v -= mean;
      }
      root_mean_square(row.data(), row.size(), weight_.at(name + ".weight").data());
      if (const auto bias = weight_.find(name + ".bias"); bias != weight_.end())
        for (size_t i = 0; i < row.size(); ++i) row[i] += bias->second[i];
    }
    return x;
  }

  // A rotary frequency by its wavelength.
  static double stretched(const RopeScalingConfig& s, double frequency) {
    if (s.kind == RopeScalingKind::none) return frequency;
    if (s.kind == RopeScalingKind::linear) return frequency / s.factor;
    const auto context = static_cast<double>(s.original_max_position_embeddings);
    const double wave = 2 * M_PI / frequency;
    if (wave < context / s.high_freq_factor) return frequency;
    if (wave > context / s.low_freq_factor) return frequency / s.factor;
    const double smooth =
        (context / wave - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
    return (1 - smooth) * frequency / s.factor + smooth * frequency;
  }

  Matrix attention(const AttentionConfig& c, const std::string& path, const Matrix& x,
                   const std::vector<size_t>& position) const {
    const auto heads = static_cast<size_t>(c.num_attention_heads);
    const size_t groups =
        c.num_key_value_heads ? static_cast<size_t>(c.num_key_value_heads) : heads;
    const size_t d = c.head_dim ? static_cast<size_t>(c.head_dim)
                                : static_cast<size_t>(config_.model.hidden_size) / heads;
    const size_t rotated =
        c.rope_theta > 0
            ? static_cast<size_t>(std::llround(static_cast<double>(d) * c.partial_rotary_factor))
            : 0;
    Matrix all = norm(x, path + ".norm");
    for (size_t t = 0; t < x.size(); ++t) {
      all[t] = linear(path + ".qkv", all[t]);
      for (size_t h = 0; h < heads + groups; ++h) {
        double* head = all[t].data() + h * d;
        if (c.qk_norm == QkNorm::head)
          root_mean_square(head, d,
                           weight_.at(path + (h < heads ? ".query_norm" : ".key_norm")).data());
        // All the heads at once, at the first of them.
        if (c.qk_norm == QkNorm::projection && (h == 0 || h == heads))
          root_mean_square(head, d * (h == 0 ? heads : groups),
                           weight_.at(path + (h == 0 ? ".query_norm" : ".key_norm")).data());
      }
      for (size_t h = 0; h < heads + groups; ++h) {
        double* head = all[t].data() + h * d;
        for (size_t i = 0; i < rotated / 2; ++i) {
          const double angle =
              static_cast<double>(position[t]) *
              stretched(c.rope_scaling, std::pow(c.rope_theta, -2.0 * static_cast<double>(i) /
                                                                   static_cast<double>(rotated)));
          const double a = head[i], b = head[i + rotated / 2];
          head[i] = a * std::cos(angle) - b * std::sin(angle);
          head[i + rotated / 2] = b * std::cos(angle) + a * std::sin(angle);
        }
      }
    }
    const double scale = c.scale > 0 ? c.scale : 1 / std::sqrt(static_cast<double>(d));
    Matrix out;
    for (size_t t = 0; t < x.size(); ++t) {
      Vec mixed(heads * d);
      for (size_t h = 0; h < heads; ++h) {
        const size_t key_at = (heads + h / (heads / groups)) * d, value_at = key_at + groups * d;
        Vec p(t + 1);
        for (size_t s = 0; s <= t; ++s)
          p[s] = scale * std::inner_product(all[t].begin() + static_cast<ptrdiff_t>(h * d),
                                            all[t].begin() + static_cast<ptrdiff_t>(h * d + d),
                                            all[s].begin() + static_cast<ptrdiff_t>(key_at), 0.0);
        const double top = *std::max_element(p.begin(), p.end());
        double sum = 0;
        for (double& v : p) sum += v = std::exp(v - top);
        for (size_t s = 0; s <= t; ++s)
          for (size_t i = 0; i < d; ++i) mixed[h * d + i] += p[s] / sum * all[s][value_at + i];
      }
      out.push_back(linear(path + ".output", mixed));
    }
    return c.output_norm ? norm(out, path + ".output_norm") : out;
  }

  Matrix mlp(const MlpConfig& c, const std::string& path, const Matrix& x) const {
    Matrix out;
    const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    for (const Vec& row : norm(x, path + ".norm")) {
      Vec up = linear(path + ".up", row);
      const size_t half = up.size() / 2;
      for (size_t i = 0; i < up.size(); ++i) {
        const double v = up[i];
        switch (c.hidden_act) {
          case Activation::gelu:
            up[i] = v / 2 * (1 + std::erf(v / std::sqrt(2.0)));
            break;
          case Activation::gelu_tanh:
            up[i] = v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
            break;
          case Activation::relu:
            up[i] = std::max(v, 0.0);
            break;
          case Activation::swiglu:
            if (i < half) up[i] = v * sigmoid(v) * up[i + half];
        }
      }
      if (c.hidden_act == Activation::swiglu) up.resize(half);
      out.push_back(linear(path + ".down", up));
    }
    return c.output_norm ? norm(out, path + ".output_norm") : out;
  }

  // x + r · (Block(x) − x) for chosen rows.
  Matrix routed(const RoutedConfig& c, const std::string& path, const Matrix& x,
                const std::vector<size_t>& position, int64_t round) {
    const RouteConfig& r = c.route;
    double capacity = r.capacity;
    if (const auto& s = r.capacity_schedule; step_ < s.steps) {
      const auto held = static_cast<double>(step_ * (s.values - 1) / s.steps);
      capacity = s.start + (r.capacity - s.start) * held / static_cast<double>(s.values - 1);
    }
    Vec score, decision;
    for (size_t t = 0; t < x.size(); ++t) {
      if (r.choice == ChoiceKind::random) {
        // N(0, 1), in float32 as it is drawn.
        score.push_back(
            static_cast<float>(random_normal(stream_key(seed_, path + "#" + std::to_string(round)),
                                             position[t], static_cast<uint64_t>(key_))));
        // z > Φ⁻¹(1 − c) as 1 − Φ(z) < c.
        decision.push_back(capacity - 0.5 * std::erfc(score[t] * M_SQRT1_2));
        continue;
      }
      score.push_back(times(weight_.at(path + ".router.weight"), x[t])[0]);
      if (r.choice == ChoiceKind::threshold) {
        decision.push_back(score[t] - weight_.at(path + ".router.threshold")[0]);
      } else if (r.decode == CausalDecision::router) {
        decision.push_back(score[t]);
      } else {
        const std::string p = path + ".router.predictor";
        Vec inner = linear(p + ".hidden", x[t]);
        for (double& v : inner) v /= 1 + std::exp(-v);
        decision.push_back(times(weight_.at(p + ".output"), inner)[0] +
                           weight_.at(p + ".output_bias")[0]);
      }
    }
    std::vector<size_t> order(x.size()), chosen;
    std::iota(order.begin(), order.end(), size_t{0});
    if (capacity >= 1) {
      chosen = order;
    } else if (routing_ == Routing::training) {
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return score[a] > score[b]; });
      order.resize(static_cast<size_t>(std::ceil(capacity * static_cast<double>(x.size()) - 1e-9)));
      std::sort(order.begin(), order.end());
      chosen = order;
    } else {
      for (const size_t t : order)
        if (decision[t] > 0) chosen.push_back(t);
    }
    entered += chosen.size();
    passed += x.size() - chosen.size();
    Matrix inner, out(x.size(), Vec(x[0].size()));
    std::vector<size_t> at;
    for (const size_t t : chosen) {
      inner.push_back(x[t]);
      at.push_back(position[t]);
    }
    if (chosen.empty()) return out;
    inner = delta(c.of, path + ".body", inner, at, round);
    for (size_t i = 0; i < chosen.size(); ++i) {
      const double s = score[chosen[i]];
      const double factor = r.weight == RouterWeight::raw       ? s
                            : r.weight == RouterWeight::sigmoid ? 1 / (1 + std::exp(-s))
                            : r.weight == RouterWeight::tanh    ? 1 + r.tanh_alpha * std::tanh(s)
                                                                : 1;
      for (size_t k = 0; k < inner[i].size(); ++k) out[chosen[i]][k] = factor * inner[i][k];
    }
    return out;
  }

  // What the branch adds to the stream.
  Matrix delta(const std::string& name, const std::string& path, const Matrix& x,
               const std::vector<size_t>& position, int64_t round) {
    const BranchConfig& branch = config_.branch.at(name);
    if (const auto* c = std::get_if<AttentionConfig>(&branch.form))
      return attention(*c, path, x, position);
    if (const auto* c = std::get_if<MlpConfig>(&branch.form)) return mlp(*c, path, x);
    if (const auto* c = std::get_if<RoutedConfig>(&branch.form))
      return routed(*c, path, x, position, round);
    Matrix stream = x;
    if (const auto* c = std::get_if<RepeatConfig>(&branch.form)) {
      for (int64_t i = 0; i < c->times; ++i)
        add(stream, delta(c->of, path + ".body", stream, position, round * c->times + i));
    } else {
      const auto* chain = std::get_if<ChainConfig>(&branch.form);
      const auto& of = chain ? chain->of : std::get<ParallelConfig>(branch.form).of;
      const Matrix read = chain ? Matrix() : norm(x, path + ".norm");
      std::map<std::string, int> used;
      for (const std::string& child : of) {
        const int number = ++used[child];
        const std::string unique = number == 1 ? child : child + "~" + std::to_string(number);
        add(stream, delta(child, path + "." + unique, chain ? stream : read, position, round));
      }
    }
    add(stream, x, -1);
    return stream;
  }

  const Config& config_;
  Routing routing_;
  int64_t step_, key_;
  uint64_t seed_;
  std::map<std::string, Vec> weight_;

 public:
  size_t entered = 0, passed = 0;  // rows at routed branches
};

}  // namespace pointwork::test
