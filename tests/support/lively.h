#pragma once
// Models whose routers decide both ways although nobody trained them, and what they do with a
// ragged batch. Untrained weights of the usual scale would leave every decision to the prior.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <numeric>

#include "pointwork/base/rng.h"
#include "pointwork/model/model.h"
#include "pointwork/nn/kv_cache.h"
#include "pointwork/nn/routed.h"
#include "pointwork/route/depth_router.h"
#include "pointwork/route/token_router.h"
#include "pointwork/route/trace.h"
#include "tests/support/models.h"

namespace pointwork::test {

using Tokens = std::vector<std::vector<int32_t>>;  // sequence by sequence

// all_configs() and the project's own config files, shrunk to the same sizes.
inline std::vector<NamedConfig> every_config() {
  std::vector<NamedConfig> all = all_configs();
  for (const auto& file : std::filesystem::directory_iterator(POINTWORK_SOURCE_DIR "/configs")) {
    if (file.path().extension() != ".toml") continue;
    std::string name = "file_" + file.path().stem().string();
    std::replace(name.begin(), name.end(), '-', '_');
    all.push_back({name, load_config(file.path(), {{"model.vocab_size", "61"},
                                                   {"model.hidden_size", "32"},
                                                   {"model.num_hidden_layers", "4"},
                                                   {"model.max_position_embeddings", "24"},
                                                   {"branch.attention.num_attention_heads", "4"},
                                                   {"train.batch_size", "2"},
                                                   {"train.sequence_length", "24"},
                                                   {"train.steps", "10"}})});
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

// For INSTANTIATE_TEST_SUITE_P: the config's name is the test's.
inline std::string name_of(const ::testing::TestParamInfo<NamedConfig>& info) {
  return info.param.name;
}
inline void PrintTo(const NamedConfig& one, std::ostream* out) { *out << one.name; }

inline std::vector<std::shared_ptr<Router>> routers_of(const Model& model) {
  std::vector<std::shared_ptr<Router>> all;
  for (const auto& module : model.modules(false)) {
    if (auto router = std::dynamic_pointer_cast<Router>(module)) all.push_back(router);
  }
  return all;
}

// Every route of a config, those of attention's weights too.
template <class AnyConfig, class Visit>
void for_each_route(AnyConfig& config, const Visit& visit) {
  for (auto& [name, branch] : config.branch) {
    if (auto* routed = std::get_if<RoutedConfig>(&branch.form)) visit(routed->route);
    if (auto* attention = std::get_if<AttentionConfig>(&branch.form);
        attention && attention->projection_route)
      visit(*attention->projection_route);
  }
}

inline std::vector<std::shared_ptr<DepthRouter>> depth_routers_of(const Model& model) {
  std::vector<std::shared_ptr<DepthRouter>> all;
  for (const auto& router : routers_of(model)) {
    if (auto depth = std::dynamic_pointer_cast<DepthRouter>(router)) all.push_back(depth);
  }
  return all;
}

// Whether some branch has tokens choose experts: what runs then depends on values.
inline bool has_token_choice(const Config& config) {
  bool has = false;
  for_each_route(config, [&](const RouteConfig& route) { has = has || route.by_token(); });
  return has;
}

// Past the last step of every capacity schedule in the test configs.
inline constexpr int64_t kSettled = 100;

// Whether causally some row has less than all that it could.
inline bool skips_rows(const Config& config, int64_t step = kSettled) {
  const Model model(config);
  for (const auto& router : routers_of(model)) {
    const RouteConfig& route = router->config();
    if (route.by_token() ? route.num_noop > 0 || route.second_choice == SecondChoice::threshold
                         : router->share(step) < static_cast<double>(route.num_experts))
      return true;
  }
  return false;
}

// Weights of a scale at which logits and decisions vary; every bias, norm and threshold moved from
// where it starts.
inline std::shared_ptr<Model> lively_model(Config config, torch::Dtype dtype = torch::kFloat32,
                                           uint64_t seed = 3) {
  at::set_num_threads(1);  // at these sizes threads would only wait for one another
  config.model.initializer_range = 0.25;
  for_each_route(config, [](RouteConfig& route) { route.initializer_range = 0.25; });
  auto model = std::make_shared<Model>(config);
  initialise(*model, seed);
  const torch::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    const bool constant = !is_matrix(item.key(), item.value()) &&
                          item.key().find(".router.weight") == std::string::npos &&
                          item.key().find(".predictor.output") == std::string::npos;
    if (!constant) continue;
    const uint64_t key = stream_key(seed, "lively/" + item.key());
    Tensor noise = torch::empty_like(item.value());
    for (int64_t i = 0; i < noise.numel(); ++i)
      noise.data_ptr<float>()[i] = static_cast<float>(0.1 * random_normal(key, i));
    item.value().add_(noise);
  }
  for (const auto& router : routers_of(*model)) {
    const auto* by_token = dynamic_cast<const TokenRouter*>(router.get());
    if (!by_token || !by_token->bias.defined()) continue;
    for (int64_t i = 0; i < by_token->bias.size(0); ++i)
      by_token->bias[i] = 0.1 * random_normal(stream_key(seed, "bias"), i);
  }
  for (const auto& router : depth_routers_of(*model)) {
    if (router->predictor) {
      router->predictor->output.mul_(4);
      router->predictor->output_bias.fill_(-0.1);
    }
    if (router->threshold.defined()) {
      router->threshold[0].fill_(0.2);
      router->threshold[1].fill_(1);
    }
  }
  convert(*model, dtype, torch::kCPU);
  return model;
}

inline std::vector<int32_t> random_tokens(int64_t count, uint64_t key, int64_t vocab = 61) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>(random_below(vocab, stream_key(key, "tokens"), i)));
  return ids;
}

struct Ragged {
  Tensor token;  // int32 [T]
  Rows rows;
};

// The tokens of each sequence that stand at begin[b] .. end[b], keyed 100, 101, …
inline Ragged ragged(const Tokens& all, const std::vector<size_t>& begin,
                     const std::vector<size_t>& end) {
  std::vector<int32_t> token, position, sequence, start{0};
  std::vector<int64_t> key;
  for (size_t b = 0; b < all.size(); ++b) {
    for (size_t i = begin[b]; i < end[b]; ++i) {
      token.push_back(all[b][i]);
      position.push_back(static_cast<int32_t>(i));
      sequence.push_back(static_cast<int32_t>(b));
    }
    start.push_back(static_cast<int32_t>(token.size()));
    key.push_back(100 + static_cast<int64_t>(b));
  }
  Ragged made{torch::tensor(token, torch::kInt32), {}};
  made.rows.position = torch::tensor(position, torch::kInt32);
  made.rows.sequence = torch::tensor(sequence, torch::kInt32);
  made.rows.root = torch::arange(static_cast<int64_t>(token.size()), torch::kInt32);
  made.rows.start = torch::tensor(start, torch::kInt32);
  made.rows.key = torch::tensor(key, torch::kInt64);
  return made;
}

inline Ragged ragged(const Tokens& all) {
  std::vector<size_t> end;
  for (const auto& one : all) end.push_back(one.size());
  return ragged(all, std::vector<size_t>(all.size(), 0), end);
}

// Sequences of one length, as training gives them.
inline Ragged uniform(const Tokens& all) {
  Ragged made = ragged(all);
  made.rows.each = static_cast<int64_t>(all[0].size());
  return made;
}

// What a forward pass gave.
struct Seen {
  Tensor logits;  // [T, V], in the model's own type
  std::vector<Route> routes;
  std::vector<LayerTrace> layers;
  std::vector<Tensor>
      margins;  // [T] of token choice, by how much the last choice won; else undefined
};

// By how much the k-th score lies above the next, where that decides, in units of logits: how far
// these must move for another choice. Infinite where all are chosen. A softmax moves by at most
// half of what a logit does, a sigmoid, and the share of one of two of a softmax, by a quarter.
inline Tensor margin_of(const Route& route, const TokenRouter& router) {
  const RouteConfig& config = router.config();
  const bool softmax = config.score == RouterScore::softmax;
  const auto sorted = [](const Tensor& score) {
    return std::get<0>(score.to(torch::kFloat64).sort(1, /*descending=*/true));
  };
  const Tensor score = sorted(
      router.bias.defined() ? (softmax ? 2 : 4) * (route.probability + router.bias) : route.logits);
  Tensor margin = torch::full({score.size(0)}, std::numeric_limits<double>::infinity());
  if (config.top_k < score.size(1))
    margin = score.select(1, config.top_k - 1) - score.select(1, config.top_k);
  if (config.second_choice == SecondChoice::threshold) {
    const Tensor p = sorted(route.probability);
    const Tensor share = p.select(1, 1) / (p.select(1, 0) + p.select(1, 1));
    margin = at::minimum(margin, (softmax ? 4 : 1) * (share - config.second_threshold).abs());
  }
  return margin;
}

// Layers and margins, of the routes of a pass over `rows` rows.
inline void note_choices(const Model& model, int64_t rows, Seen& seen) {
  seen.layers = trace_routes(seen.routes, rows);
  for (const Route& route : seen.routes) {
    Tensor& margin = seen.margins.emplace_back();
    for (const auto& router : routers_of(model)) {
      const auto* by_token = dynamic_cast<const TokenRouter*>(router.get());
      if (by_token && router->name() == route.name) margin = margin_of(route, *by_token);
    }
  }
}

inline Seen look(Model& model, const Ragged& batch, Routing routing, KvCache* cache = nullptr,
                 int64_t step = kSettled) {
  const torch::NoGradGuard no_grad;
  Context ctx{.rows = batch.rows, .routing = routing, .step = step, .seed = 5, .cache = cache};
  ModelOutput out = model.forward(batch.token, ctx);
  Seen seen{at::mm(out.hidden, model.head().t()), std::move(out.routes), {}, {}};
  note_choices(model, batch.token.size(0), seen);
  return seen;
}

// How far two orders of the same sums may lie apart, relative to the largest value: c · √n · eps as
// in tests/kernels/tolerance.h, c = 4, for the n = 12 · 128 roundings on the longest way through a
// model: at most 12 blocks one after another, in each the mlp's sum over 128 terms.
inline double tolerance_of(const Tensor& values) {
  const double eps = values.scalar_type() == torch::kFloat64
                         ? std::numeric_limits<double>::epsilon()
                         : std::numeric_limits<float>::epsilon();
  return 4 * std::sqrt(12.0 * 128) * eps * values.abs().max().item<double>();
}

// Rows of the reference before which a decision lay so near its threshold that another order of
// sums may turn it: true from there on within its sequence, since later rows see the earlier ones.
struct Doubts {
  std::vector<uint8_t> row;
  int64_t near = 0, decisions = 0;
  int64_t entered = 0;
};

inline Doubts doubts_of(const Seen& seen, const Rows& rows) {
  Doubts doubts{std::vector<uint8_t>(static_cast<size_t>(rows.count())), 0, 0, 0};
  for (size_t i = 0; i < seen.layers.size(); ++i) {
    const LayerTrace& layer = seen.layers[i];
    const Route& route = seen.routes[i];
    if (const Tensor& margin = seen.margins[i]; margin.defined()) {
      const double tolerance = tolerance_of(route.logits);
      for (int64_t t = 0; t < margin.size(0); ++t) {
        const auto root = static_cast<size_t>(route.root[t].item<int32_t>());
        doubts.decisions += layer.top_k;
        for (int64_t j = 0; j < layer.top_k; ++j) {
          const int32_t chosen = route.choice[t][j].item<int32_t>();
          doubts.entered += chosen >= 0 && chosen < layer.experts;
        }
        if (margin[t].item<double>() > tolerance) continue;
        ++doubts.near;
        doubts.row[root] = 1;
      }
      continue;
    }
    const Tensor& decision = route.decision;
    if (layer.capacity >= 1 || !decision.defined() || decision.numel() == 0) continue;
    const double tolerance = tolerance_of(decision);
    // Of several experts' the one nearest to its threshold.
    std::vector<double> nearest(layer.reached.size(), 0);
    for (int64_t t = 0; t < decision.size(0); ++t) {
      if (const int32_t root = route.root[t].item<int32_t>(); root >= 0)
        nearest[static_cast<size_t>(root)] = decision[t].abs().min().item<double>();
    }
    for (size_t t = 0; t < layer.reached.size(); ++t) {
      doubts.decisions += layer.reached[t];
      doubts.entered += layer.entered[t];
      if (!layer.reached[t]) continue;
      if (nearest[t] > tolerance) continue;
      ++doubts.near;
      doubts.row[t] = 1;
    }
  }
  const int32_t* of = rows.sequence.data_ptr<int32_t>();
  for (size_t t = 1; t < doubts.row.size(); ++t) {
    if (of[t] == of[t - 1] && doubts.row[t - 1]) doubts.row[t] = 1;
  }
  return doubts;
}

// Few decisions were near their threshold, and both kinds were taken.
inline void expect_decided(const Doubts& doubts, bool skips) {
  EXPECT_LE(doubts.near, doubts.decisions / 1000) << "of " << doubts.decisions;
  if (!skips) return;
  EXPECT_GT(doubts.entered, 0);
  EXPECT_LT(doubts.entered, doubts.decisions);
}

// The trace of a layer by name; null where no row came that far in this pass.
inline const LayerTrace* layer_named(const Seen& seen, const std::string& name) {
  for (const LayerTrace& layer : seen.layers) {
    if (layer.name == name) return &layer;
  }
  return nullptr;
}

// Row at[i] of a run did what row of[i] of the reference did.
inline void expect_same(const std::string& what, const Seen& got, const std::vector<int64_t>& at,
                        const Seen& want, const std::vector<int64_t>& of, const Doubts& doubts) {
  for (const LayerTrace& layer : got.layers)
    ASSERT_TRUE(layer_named(want, layer.name)) << what << ", " << layer.name;
  const double tolerance = tolerance_of(want.logits);
  const Tensor gap = (got.logits.index_select(0, torch::tensor(at)) -
                      want.logits.index_select(0, torch::tensor(of)))
                         .abs()
                         .amax(1)
                         .to(torch::kFloat64)
                         .contiguous();
  for (size_t i = 0; i < at.size(); ++i) {
    const auto g = static_cast<size_t>(at[i]), w = static_cast<size_t>(of[i]);
    if (doubts.row[w]) continue;
    for (const LayerTrace& layer : want.layers) {
      const LayerTrace* other = layer_named(got, layer.name);
      ASSERT_EQ(other && other->reached[g], layer.reached[w]) << what << ", row " << w;
      ASSERT_EQ(other && other->entered[g], layer.entered[w])
          << what << ", row " << w << ", " << layer.name << ", decision " << layer.decision[w];
      for (int64_t j = 0; other && j < layer.top_k; ++j)
        ASSERT_EQ(other->choice[g * static_cast<size_t>(layer.top_k) + static_cast<size_t>(j)],
                  layer.choice[w * static_cast<size_t>(layer.top_k) + static_cast<size_t>(j)])
            << what << ", row " << w << ", " << layer.name;
    }
    ASSERT_LE(gap.data_ptr<double>()[i], tolerance) << what << ", row " << w;
  }
}

}  // namespace pointwork::test
