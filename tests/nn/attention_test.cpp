// The leaves against their reference, option by option; and attention over the ragged cache.
#include "pointwork/nn/attention.h"

#include <gtest/gtest.h>

#include <optional>

#include "pointwork/nn/kv_cache.h"
#include "pointwork/ops/device.h"
#include "tests/nn/reference.h"

namespace pointwork::test {
namespace {

constexpr int64_t kSize = 24;

ModelConfig trunk(NormKind norm = NormKind::layernorm) {
  return {.hidden_size = kSize, .norm = norm, .norm_bias = norm == NormKind::layernorm};
}

template <class Module>
std::shared_ptr<Module> drawn(std::shared_ptr<Module> module) {
  const torch::NoGradGuard no_grad;
  module->to(torch::kFloat64);
  uint64_t seed = 50;
  for (const Tensor& p : module->parameters()) p.copy_(0.5 * normal(p.sizes(), ++seed));
  return module;
}

// Forward, add_to and every gradient.
void expect_equal(const std::string& what, Branch& branch, const Rows& rows,
                  const std::function<slow::Stream(const slow::Stream&)>& reference) {
  const Threads one(1);
  const Tensor x = normal({rows.count(), kSize}, 20).set_requires_grad(true);
  std::vector<Tensor> leaves = {x};
  for (const Tensor& p : branch.parameters()) leaves.push_back(p);
  const auto grads = [&](const Tensor& out) {
    for (const Tensor& leaf : leaves) leaf.mutable_grad().reset();
    out.backward(normal(out.sizes(), 21));
    std::vector<Tensor> all;
    for (const Tensor& leaf : leaves) all.push_back(leaf.grad().clone());
    return all;
  };
  Context ctx{.rows = rows};
  const Tensor want = torch::stack(reference(slow::rows_of(x)));
  const Tensor got = branch.forward(x, ctx).delta, sum = branch.add_to(x, ctx).delta;
  expect_same(what, got, want);
  expect_same("add_to, " + what, sum, want + x);
  const auto exact = grads(want), plain = grads(got), added = grads(sum);
  for (size_t i = 0; i < leaves.size(); ++i) {
    expect_same(concat("gradient ", i, ", ", what), plain[i], exact[i]);
    // The stream's own gradient passes by.
    expect_same(concat("gradient ", i, " of add_to, ", what), added[i],
                i == 0 ? exact[i] + normal(x.sizes(), 21) : exact[i]);
  }
}

std::vector<AttentionConfig> attentions() {
  std::vector<AttentionConfig> all;
  all.push_back({.num_attention_heads = 4});
  all.push_back({.num_attention_heads = 1});
  all.push_back({.num_attention_heads = 6, .num_key_value_heads = 2});
  all.push_back({.num_attention_heads = 4, .num_key_value_heads = 1, .head_dim = 10});
  all.push_back({.num_attention_heads = 3, .head_dim = 5, .scale = 0.7});
  all.push_back({.num_attention_heads = 4, .rope_theta = 100});
  all.push_back(
      {.num_attention_heads = 2, .head_dim = 16, .rope_theta = 1e4, .partial_rotary_factor = 0.25});
  for (const QkNorm norm : {QkNorm::head, QkNorm::projection}) {
    all.push_back({.num_attention_heads = 4, .qk_norm = norm});
    all.push_back({.num_attention_heads = 6,
                   .num_key_value_heads = 3,
                   .head_dim = 8,
                   .rope_theta = 1000,
                   .partial_rotary_factor = 0.5,
                   .qk_norm = norm,
                   .qkv_bias = true,
                   .output_bias = true});
  }
  all.push_back({.num_attention_heads = 4, .qkv_bias = true});
  all.push_back({.num_attention_heads = 4, .output_bias = true});
  all.push_back({.num_attention_heads = 4, .output_bias = true, .output_norm = true});
  return all;
}

TEST(Attention, EqualsSoftmaxRowByRow) {
  Rows documents = uniform_rows(2, 5, torch::kCPU);
  documents.document = documents.position.div(3, "floor").to(torch::kInt32);
  Rows gaps = uniform_rows(2, 5, torch::kCPU);  // positions of a routed block
  gaps.position = gaps.position * gaps.position + gaps.sequence;
  int number = 0;
  for (const AttentionConfig& config : attentions()) {
    for (const bool rms : {false, true}) {
      const ModelConfig model = trunk(rms ? NormKind::rmsnorm : NormKind::layernorm);
      const Rows& rows = rms ? gaps : documents;
      const auto a = drawn(std::make_shared<Attention>(model, config));
      const slow::Places places = slow::places_of(rows);
      expect_equal(concat("attention ", number), *a, rows, [&](const slow::Stream& x) {
        return slow::attention(*a, config, model, x, places);
      });
    }
    ++number;
  }
}

TEST(Mlp, EqualsItsDefinitionRowByRow) {
  const Rows rows = uniform_rows(2, 5, torch::kCPU);
  for (const Activation act :
       {Activation::gelu, Activation::gelu_tanh, Activation::relu, Activation::swiglu}) {
    for (const bool bias : {false, true}) {
      for (const bool output_norm : {false, true}) {
        const MlpConfig config{.intermediate_size = bias ? 20 : 0,
                               .hidden_act = act,
                               .bias = bias,
                               .output_norm = output_norm};
        const ModelConfig model = trunk(bias ? NormKind::rmsnorm : NormKind::layernorm);
        const auto m = drawn(std::make_shared<Mlp>(model, config));
        EXPECT_EQ(m->down.size(1), bias ? 20 : 4 * kSize);
        expect_equal(concat("mlp ", static_cast<int>(act), bias, output_norm), *m, rows,
                     [&](const slow::Stream& x) { return slow::mlp_delta(*m, config, model, x); });
      }
    }
  }
}

// A LayerNorm without its bias trains as one whose bias stays 0.
TEST(Norm, WithoutBiasHasNone) {
  const pointwork::Norm plain(8, {.norm = NormKind::layernorm, .norm_bias = false});
  EXPECT_FALSE(plain.bias.defined());
  EXPECT_EQ(plain.parameters().size(), 1u);
  EXPECT_FALSE(pointwork::Norm(8, {.norm = NormKind::rmsnorm}).bias.defined());
  EXPECT_EQ(pointwork::Norm(8, {.norm = NormKind::layernorm}).parameters().size(), 2u);
}

// add_to is x + forward in every precision, to one rounding more of the stream's type.
TEST(Leaves, AddToIsThePlainSum) {
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
    const double u = dtype == torch::kFloat32 ? 0x1p-24 : 0x1p-8;
    const Rows rows = uniform_rows(2, 33, torch::kCPU);
    const std::vector<BranchPtr> leaves = {
        drawn(std::make_shared<Attention>(trunk(), AttentionConfig{.output_bias = true})),
        drawn(std::make_shared<Mlp>(trunk(), MlpConfig{.bias = true}))};
    for (const BranchPtr& leaf : leaves) {
      leaf->to(dtype);
      const torch::NoGradGuard no_grad;
      const Tensor x = normal({66, kSize}, 1, dtype);
      Context ctx{.rows = rows};
      const Tensor delta = leaf->forward(x, ctx).delta.to(torch::kFloat64);
      const Tensor want = x.to(torch::kFloat64) + delta;
      // Before and after the bias, the delta's own, and the sum's.
      const Tensor terms = x.to(torch::kFloat64).abs() + delta.abs() + 4;
      expect_within("add_to", leaf->add_to(x, ctx).delta, want, 4 * u * terms);
    }
  }
}

struct CacheCase {
  int64_t heads, groups;
  torch::Dtype dtype;
};

// Queries, keys and values of each sequence.
struct Projected {
  std::vector<Tensor> query, key, value;
};

// One cached pass over rows begin[b] .. end[b] of each sequence.
Tensor cached(KvCache& cache, int64_t site, const Projected& all, const std::vector<int64_t>& begin,
              const std::vector<int64_t>& end) {
  std::vector<Tensor> q, k, v;
  std::vector<int32_t> sequence, start = {0};
  for (size_t b = 0; b < begin.size(); ++b) {
    q.push_back(all.query[b].slice(0, begin[b], end[b]));
    k.push_back(all.key[b].slice(0, begin[b], end[b]));
    v.push_back(all.value[b].slice(0, begin[b], end[b]));
    sequence.insert(sequence.end(), static_cast<size_t>(end[b] - begin[b]),
                    static_cast<int32_t>(b));
    start.push_back(static_cast<int32_t>(sequence.size()));
  }
  Rows rows;
  rows.sequence = ints(sequence);
  rows.position = torch::zeros({rows.sequence.size(0)}, torch::kInt32);
  rows.start = ints(start);
  return cache.attend(site, torch::cat(q), torch::cat(k), torch::cat(v), rows, 0.4);
}

// The whole of one sequence at once, in float64.
Tensor whole(const Projected& all, size_t b) {
  const auto wide = [](const Tensor& x) { return x.to(torch::kFloat64); };
  const Tensor q = wide(all.query[b]), k = wide(all.key[b]), v = wide(all.value[b]);
  const int64_t n = q.size(0), heads = q.size(1), groups = k.size(1);
  Tensor out = torch::empty(q.sizes(), torch::kFloat64);
  for (int64_t t = 0; t < n; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t g = h * groups / heads;
      const Tensor score = 0.4 * k.slice(0, 0, t + 1).select(1, g).mv(q[t][h]);
      out[t][h] = v.slice(0, 0, t + 1).select(1, g).t().mv(score.softmax(0));
    }
  }
  return out;
}

// However the rows of each sequence were cut into passes, in whatever company, each sees what came
// before it in its own sequence.
TEST(KvCache, RaggedAppendsInAnyCutsEqualTheWhole) {
  const torch::NoGradGuard no_grad;
  const std::vector<int64_t> length = {130, 0, 33, 7};
  // Rows of each sequence in each pass: one or a few (a pass over the keys per row), many, none.
  const std::vector<std::vector<std::vector<int64_t>>> cuts = {
      {{130, 0, 33, 7}},
      {{64, 0, 0, 1}, {1, 0, 1, 1}, {65, 0, 32, 5}},
      {{15, 0, 15, 2}, {16, 0, 16, 0}, {0, 0, 1, 0}, {98, 0, 0, 0}, {1, 0, 1, 5}}};
  for (const auto& [heads, groups, dtype] :
       {CacheCase{4, 4, torch::kFloat32}, CacheCase{6, 2, torch::kFloat32},
        CacheCase{6, 2, torch::kFloat64}, CacheCase{4, 1, torch::kBFloat16}}) {
    Projected all;
    for (size_t b = 0; b < length.size(); ++b) {
      all.query.push_back(normal({length[b], heads, 8}, 10 * b + 1, dtype));
      all.key.push_back(normal({length[b], groups, 8}, 10 * b + 2, dtype));
      all.value.push_back(normal({length[b], groups, 8}, 10 * b + 3, dtype));
    }
    // Terms of a softmax's sum: scores up to 16 before the exponential, values up to 4. In bfloat16
    // softmax is rounded once, and the result.
    const double bound = dtype == torch::kFloat64   ? 4 * std::sqrt(130.0) * 0x1p-52 * 80
                         : dtype == torch::kFloat32 ? 4 * std::sqrt(130.0) * 0x1p-23 * 80
                                                    : 2 * 0x1p-8 * 4;
    for (const bool composite : {false, true}) {
      std::optional<CompositeGuard> guard;
      if (composite) guard.emplace();
      for (const auto& cut : cuts) {
        KvCache cache(2, 4, 130);
        std::vector<int64_t> done(4, 0);
        std::vector<std::vector<Tensor>> got(4);
        for (const auto& step : cut) {
          std::vector<int64_t> end = done;
          for (size_t b = 0; b < 4; ++b) end[b] += step[b];
          const Tensor out = cached(cache, 1, all, done, end);
          int64_t at = 0;
          for (size_t b = 0; b < 4; ++b) {
            got[b].push_back(out.slice(0, at, at + step[b]));
            at += step[b];
          }
          done = end;
        }
        ASSERT_EQ(done, length);
        int64_t held = 0;
        for (size_t b = 0; b < 4; ++b) {
          const Tensor want = whole(all, b);
          expect_within(concat("sequence ", b, ", ", heads, " heads, ", dtype,
                               composite ? ", composite" : ""),
                        torch::cat(got[b]), want, torch::full_like(want, bound));
          EXPECT_EQ(cache.length(1, static_cast<int64_t>(b)), length[b]);
          EXPECT_EQ(cache.length(0, static_cast<int64_t>(b)), 0);
          held += length[b];
        }
        EXPECT_EQ(cache.bytes(), 2 * held * groups * 8 * static_cast<int64_t>(elementSize(dtype)));
      }
    }
  }
}

TEST(KvCache, PastItsLimitIsAnError) {
  const torch::NoGradGuard no_grad;
  Projected all;
  for (int b = 0; b < 2; ++b) {
    for (auto* part : {&all.query, &all.key, &all.value})
      part->push_back(normal({9, 2, 4}, 1, torch::kFloat32));
  }
  KvCache cache(1, 2, 8);
  cached(cache, 0, all, {0, 0}, {3, 8});
  EXPECT_EQ(error_of([&] {
              cached(cache, 0, all, {3, 8}, {4, 9});
            }),
            "[kv_cache] a sequence would hold 9 rows but the limit is 8");
  // Nothing was appended; the other sequence goes on.
  EXPECT_EQ(cache.length(0, 0), 3);
  EXPECT_EQ(cache.length(0, 1), 8);
  cached(cache, 0, all, {3, 8}, {8, 8});
  EXPECT_EQ(cache.length(0, 0), 8);
  EXPECT_EQ(error_of([&] {
              cached(cache, 1, all, {0, 0}, {1, 0});
            }),
            "[kv_cache] has 1 sites but was asked for 1");
  KvCache narrow(1, 1, 8);
  EXPECT_EQ(error_of([&] {
              cached(narrow, 0, all, {0, 0}, {1, 1});
            }),
            "[kv_cache] has 1 sequences but was asked for 1");
  EXPECT_NE(error_of([] { KvCache(1, 0, 8); }).find("at least one sequence"), std::string::npos);
  EXPECT_NE(error_of([] { KvCache(1, 1, 0); }).find("a limit above 0"), std::string::npos);
}

TEST(KvCache, ServesInferenceAlone) {
  Projected all;
  for (auto* part : {&all.query, &all.key, &all.value})
    part->push_back(normal({3, 2, 4}, 1, torch::kFloat32));
  KvCache cache(1, 1, 8);
  EXPECT_EQ(error_of([&] { cached(cache, 0, all, {0}, {3}); }),
            "[kv_cache] serves inference only: gradients must be off");
  const torch::NoGradGuard no_grad;
  Rows rows = uniform_rows(1, 3, torch::kCPU);
  rows.document = ints({0, 0, 1});
  EXPECT_EQ(error_of([&] { cache.attend(0, all.query[0], all.key[0], all.value[0], rows, 1); }),
            "[kv_cache] keeps no documents apart: rows must have none");
}

}  // namespace
}  // namespace pointwork::test
