#include "pointwork/route/router_features.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "pointwork/ops/device.h"
#include "tests/support/count_flops.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

using Kind = FeatureOptions::Kind;

constexpr int64_t kRows = 11, kWidth = 10, kSize = 6, kRounds = 3;

const std::vector<FeatureOptions> kOptions = {{.kind = Kind::mlp, .size = kSize},
                                              {.kind = Kind::gru, .size = kSize},
                                              {.kind = Kind::gru, .size = kSize, .projected = 4}};

std::string label(const FeatureOptions& options) {
  return options.kind == Kind::mlp ? "mlp"
                                   : concat("gru", options.projected > 0 ? ", projected" : "");
}

// Weights and biases away from where they start.
std::shared_ptr<RouterFeatures> lively(const FeatureOptions& options,
                                       torch::Dtype dtype = torch::kFloat64,
                                       int64_t width = kWidth) {
  const torch::NoGradGuard no_grad;
  auto features = make_features(options, width);
  uint64_t seed = 20;
  for (Tensor& parameter : features->parameters())
    parameter.set_data(normal(parameter.sizes(), ++seed, dtype, 0.5));
  return features;
}

InputNoise noise_of(InputNoise::Kind kind, int64_t rows = kRows) {
  if (kind == InputNoise::Kind::none) return {};
  return {.kind = kind,
          .amount = 0.3,
          .key = 7,
          .position = torch::arange(rows, torch::kInt32),
          .sequence = torch::zeros({rows}, torch::kInt32),
          .sequence_key = torch::tensor({int64_t{4}})};
}

using Row = std::vector<double>;

// W x + b, in the order of a loop.
Row affine(const Tensor& weight, const Row& x, const Tensor& bias) {
  Row y;
  for (int64_t o = 0; o < weight.size(0); ++o) {
    double sum = bias.defined() ? bias[o].item<double>() : 0;
    for (int64_t i = 0; i < weight.size(1); ++i)
      sum += weight[o][i].item<double>() * x[static_cast<size_t>(i)];
    y.push_back(sum);
  }
  return y;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One row in one round, as the equations read.
Row features_of(const RouterFeatures& features, Row x, const Row& hidden, const Row& extra) {
  for (size_t i = 0; i < extra.size(); ++i) x[i] += extra[i];
  Row out;
  if (const auto* mlp = dynamic_cast<const MlpFeatures*>(&features)) {
    for (const double value : affine(mlp->hidden, x, mlp->hidden_bias))
      out.push_back(std::max(value, 0.0));
    return out;
  }
  const auto& gru = dynamic_cast<const GruFeatures&>(features);
  if (gru.projection.defined()) x = affine(gru.projection, x, {});
  const Row a = affine(gru.input, x, gru.input_bias);
  const Row c = affine(gru.recurrent, hidden, gru.recurrent_bias);
  const auto r = static_cast<size_t>(features.size());
  for (size_t i = 0; i < r; ++i) {
    const double reset = sigmoid(a[i] + c[i]), update = sigmoid(a[r + i] + c[r + i]);
    const double fresh = std::tanh(a[2 * r + i] + reset * c[2 * r + i]);
    out.push_back(fresh + update * (hidden[i] - fresh));
  }
  return out;
}

// Rows of several rounds that differ, as a stream does: [rounds][T, D].
std::vector<Tensor> rounds_of(torch::Dtype dtype = torch::kFloat64) {
  std::vector<Tensor> x;
  for (int64_t round = 0; round < kRounds; ++round)
    x.push_back(normal({kRows, kWidth}, 40 + static_cast<uint64_t>(round), dtype));
  return x;
}

TEST(RouterFeatures, EqualALoopOverRowsAndRounds) {
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    for (const FeatureOptions& options : kOptions) {
      for (const bool with_extra : {false, true}) {
        const auto features = lively(options);
        const std::vector<Tensor> x = rounds_of();
        const Tensor extra = normal({kRounds, kWidth}, 50);
        std::vector<Tensor> got;
        for (size_t round = 0; round < kRounds; ++round) {
          got.push_back(features->forward(
              {.x = x[round],
               .hidden = features->carries() && round > 0 ? got.back() : Tensor(),
               .extra = with_extra ? extra[static_cast<int64_t>(round)] : Tensor()}));
        }
        for (int64_t t = 0; t < kRows; ++t) {
          Row hidden(kSize, 0.0);
          for (size_t round = 0; round < kRounds; ++round) {
            hidden = features_of(*features, doubles(x[round][t]), hidden,
                                 with_extra ? doubles(extra[static_cast<int64_t>(round)]) : Row());
            expect_same(concat(label(options), ", row ", t, ", round ", round), got[round][t],
                        torch::tensor(hidden, torch::kFloat64));
          }
        }
      }
    }
  }
}

// Through rounds, weights, rows and extra; the rounds' rows are the inputs before the weights.
TEST(RouterFeatures, GradientsEqualCentralDifferences) {
  for (const FeatureOptions& options : kOptions) {
    for (const auto kind :
         {InputNoise::Kind::none, InputNoise::Kind::jitter, InputNoise::Kind::dropout}) {
      const auto features = lively(options);
      std::vector<Tensor> in = rounds_of();
      in.push_back(normal({kRounds, kWidth}, 50));
      for (const Tensor& parameter : features->parameters()) in.push_back(parameter.detach());
      const Function f = [&](const std::vector<Tensor>& in) {
        size_t next = kRounds + 1;
        const auto made = std::dynamic_pointer_cast<MlpFeatures>(features);
        if (made) {
          made->hidden = in[next++];
          made->hidden_bias = in[next++];
        } else {
          auto gru = std::dynamic_pointer_cast<GruFeatures>(features);
          if (options.projected > 0) gru->projection = in[next++];
          gru->input = in[next++];
          gru->input_bias = in[next++];
          gru->recurrent = in[next++];
          gru->recurrent_bias = in[next++];
        }
        Tensor hidden, sum;
        for (size_t round = 0; round < kRounds; ++round) {
          hidden = features->forward({.x = in[round],
                                      .hidden = features->carries() ? hidden : Tensor(),
                                      .extra = in[kRounds][static_cast<int64_t>(round)],
                                      .noise = noise_of(kind)});
          // Of relu the square: it has no corner.
          const Tensor smooth = features->carries() ? hidden : hidden.square();
          sum = sum.defined() ? sum + smooth : smooth;
        }
        return sum;
      };
      expect_gradients(concat(label(options), ", noise ", static_cast<int>(kind)), f, in);
    }
  }
}

// The library's cell of the same weights over the same rounds.
TEST(RouterFeatures, OfAGruAreTheLibrarysCell) {
  const auto features = lively({.kind = Kind::gru, .size = kSize});
  const auto& gru = dynamic_cast<const GruFeatures&>(*features);
  Tensor got, want = torch::zeros({kRows, kSize}, torch::kFloat64);
  for (const Tensor& x : rounds_of()) {
    const Tensor before = got.defined() ? got : torch::zeros_like(want);
    EXPECT_TRUE(same_bits(features->forward({.x = x, .hidden = got}),
                          features->forward({.x = x, .hidden = before})));
    got = features->forward({.x = x, .hidden = got});
    want = at::gru_cell(x, want, gru.input, gru.recurrent, gru.input_bias, gru.recurrent_bias);
    expect_same("a round", got, want);
  }
}

// Noise is on the row alone: extra is added to what it leaves.
TEST(RouterFeatures, NoiseFallsOnTheRowAndNotOnExtra) {
  for (const FeatureOptions& options : kOptions) {
    const auto features = lively(options);
    const Tensor x = rounds_of()[0], extra = normal({kWidth}, 50);
    const InputNoise noise = noise_of(InputNoise::Kind::jitter);
    const Tensor identity = torch::eye(kWidth, torch::kFloat64);
    const Tensor read = router_scores(x, identity, noise);
    EXPECT_GT(largest(read - x), 0.01);
    expect_same(label(options), features->forward({.x = x, .extra = extra, .noise = noise}),
                features->forward({.x = read + extra}));
  }
}

// No row of a matrix adds up to more than 1, so that none makes errors larger; a round's up to
// three products of at most 10 terms each err by that of a sum, and a state's error grows at most
// threefold to the next: itself, by the gates, by the new state.
TEST(RouterFeatures, OfABfloat16StreamAreFloat32) {
  for (const FeatureOptions& options : kOptions) {
    const auto features = lively(options, torch::kFloat32), exact = lively(options);
    const auto weights = features->parameters(), same = exact->parameters();
    for (size_t i = 0; i < weights.size(); ++i) {
      const torch::NoGradGuard no_grad;
      if (weights[i].dim() == 2) weights[i].div_(weights[i].abs().sum(1).max());
      same[i].copy_(weights[i]);
    }
    Tensor hidden, want;
    for (const Tensor& stream : rounds_of(torch::kBFloat16)) {
      const Tensor x = stream.clone().set_requires_grad(true);
      hidden = features->forward({.x = x, .hidden = features->carries() ? hidden : Tensor()});
      want = exact->forward(
          {.x = stream.to(torch::kFloat64), .hidden = features->carries() ? want : Tensor()});
      EXPECT_EQ(hidden.scalar_type(), torch::kFloat32);
      const double bound = 3 * 4 * std::sqrt(10.0) * 0x1p-23 * largest(stream) * (1 + 3 + 9);
      expect_within(label(options), hidden, want, torch::full_like(want, bound));
      hidden.sum().backward({}, /*retain_graph=*/true);
      EXPECT_EQ(x.grad().scalar_type(), torch::kBFloat16);
      hidden = hidden.detach();
    }
  }
}

TEST(RouterFeatures, FlopsAreWhatRuns) {
  for (const FeatureOptions& options : kOptions) {
    const auto features = lively(options, torch::kFloat32);
    const Tensor x = normal({kRows, kWidth}, 1, torch::kFloat32);
    const Tensor hidden = normal({kRows, kSize}, 2, torch::kFloat32);
    const Tensor extra = normal({kWidth}, 3, torch::kFloat32);
    const auto count = [&](const FeatureInput& in) {
      return counted_flops([&] { features->forward(in); });
    };
    EXPECT_GT(features->flops_per_row(true), 0);
    EXPECT_EQ(features->flops_per_row(false) > features->flops_per_row(true), features->carries());
    EXPECT_EQ(count({.x = x}), kRows * features->flops_per_row(true)) << label(options);
    EXPECT_EQ(count({.x = x, .extra = extra}), kRows * features->flops_per_row(true))
        << label(options);
    if (!features->carries()) continue;
    EXPECT_EQ(count({.x = x, .hidden = hidden}), kRows * features->flops_per_row(false))
        << label(options);
  }
}

// Bytes that stand on this thread's account.
struct Allocated : c10::MemoryReportingInfoBase {
  int64_t bytes = 0;
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    bytes += size;
  }
  bool memoryProfilingEnabled() const override { return true; }
};

// With what the rows' number does not change, and each tensor's rounding up, well below a row in a
// thousand: so no wide copy of a row is kept, nor a or c of a cell.
TEST(RouterFeatures, KeepWhatTheySay) {
  const int64_t rows = 4096, width = 48;
  for (FeatureOptions options : kOptions) {
    options.size = 32;
    const auto features = lively(options, torch::kFloat32, width);
    for (Tensor& parameter : features->parameters()) parameter.set_requires_grad(true);
    for (const bool first : {true, false}) {
      for (const auto kind : {InputNoise::Kind::none, InputNoise::Kind::jitter}) {
        const Tensor x = normal({rows, width}, 1, torch::kBFloat16).set_requires_grad(true);
        const Tensor hidden =
            normal({rows, options.size}, 2, torch::kFloat32).set_requires_grad(true);
        const FeatureInput in{.x = x,
                              .hidden = first || !features->carries() ? Tensor() : hidden,
                              .noise = noise_of(kind, rows)};
        const auto account = std::make_shared<Allocated>();
        Tensor out;
        {
          const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, account);
          out = features->forward(in);
        }
        const double said = static_cast<double>(rows) * 4 * features->kept_values_per_row(first);
        EXPECT_NEAR(static_cast<double>(account->bytes), said, 1e-3 * said)
            << label(options) << (first ? ", first round" : "");
        EXPECT_TRUE(out.requires_grad());
      }
    }
  }
}

TEST(RouterFeatures, NoRowsAreNoRows) {
  for (const FeatureOptions& options : kOptions) {
    const auto features = lively(options);
    for (Tensor& parameter : features->parameters()) parameter.set_requires_grad(true);
    const Tensor none = torch::empty({0, kWidth}, torch::kFloat64);
    const Tensor out = features->forward({.x = none, .extra = normal({kWidth}, 1)});
    EXPECT_EQ(out.sizes(), at::IntArrayRef({0, kSize}));
    out.sum().backward();
    for (const auto& item : features->named_parameters()) {
      const Tensor& gradient = item.value().grad();
      EXPECT_EQ(gradient.defined() ? largest(gradient) : 0, 0) << item.key();
    }
  }
}

TEST(RouterFeatures, AreMadeByTheirOptions) {
  EXPECT_EQ(make_features({.kind = Kind::linear}, kWidth), nullptr);
  const auto mlp = make_features({.kind = Kind::mlp}, kWidth);
  EXPECT_EQ(mlp->size(), 256);
  EXPECT_EQ(mlp->width(), kWidth);
  EXPECT_FALSE(mlp->carries());
  const auto gru = make_features({.kind = Kind::gru, .size = 5, .projected = 3}, kWidth);
  EXPECT_TRUE(gru->carries());
  std::vector<std::string> shapes;
  for (const auto& item : gru->named_parameters())
    shapes.push_back(concat(item.key(), " ", item.value().sizes()));
  EXPECT_EQ(shapes,
            (std::vector<std::string>{"projection [3, 10]", "input [15, 3]", "input_bias [15]",
                                      "recurrent [15, 5]", "recurrent_bias [15]"}));
}

TEST(RouterFeatures, WhatDoesNotFitIsNamed) {
  const auto gru = lively({.kind = Kind::gru, .size = kSize});
  const Tensor x = normal({kRows, kWidth}, 1);
  EXPECT_EQ(error_of([&] {
              gru->forward({.x = normal({3, 4}, 1)});
            }),
            "[router_features] x must be [T, 10] but has shape [3, 4]");
  EXPECT_EQ(error_of([&] { gru->forward({.x = x, .extra = normal({3}, 1)}); }),
            "[router_features] extra must be [10] but has shape [3]");
  EXPECT_EQ(error_of([&] {
              gru->forward({.x = x, .hidden = normal({kRows, 2}, 1)});
            }),
            "[router_features] hidden must be Double [11, 6] but is Double [11, 2]");
  EXPECT_EQ(error_of([&] {
              gru->forward({.x = x, .hidden = normal({kRows, kSize}, 1, torch::kFloat32)});
            }),
            "[router_features] hidden must be Double [11, 6] but is Float [11, 6]");
  EXPECT_EQ(error_of([] { make_features({.kind = Kind::mlp, .size = 0}, kWidth); }),
            "[router_features] widths must be above 0 but are 10 and 0");
  EXPECT_EQ(error_of([] { make_features({.kind = Kind::mlp, .projected = 4}, kWidth); }),
            "[router_features] only a gru's input is projected, to a width above 0, but projected "
            "is 4");
}

}  // namespace
}  // namespace pointwork::test
