#include "pointwork/ops/router_scores.h"

#include <gtest/gtest.h>

#include "pointwork/ops/random.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

constexpr int64_t kRows = 37, kSize = 10, kChoices = 5;

InputNoise noise_of(InputNoise::Kind kind) {
  return {.kind = kind,
          .amount = 0.3,
          .key = 77,
          .position = torch::arange(kRows, torch::kInt32),
          .sequence = torch::arange(kRows, torch::kInt32).div(20, "floor").to(torch::kInt32),
          .sequence_key = torch::tensor({int64_t{4}, int64_t{9}})};
}

// The same by elementary operations, whose gradients the library knows.
Tensor plain(const Tensor& x, const Tensor& weight, const InputNoise& noise) {
  const auto wide = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  Tensor input = x.to(wide);
  if (noise.kind != InputNoise::Kind::none) {
    const Tensor u =
        random_rows(noise.key, noise.position, noise.sequence, noise.sequence_key, kSize).to(wide);
    input = noise.kind == InputNoise::Kind::jitter
                ? input * (1 + noise.amount * (2 * u - 1))
                : input * u.ge(noise.amount).to(wide) / (1 - noise.amount);
  }
  return at::mm(input, weight.to(wide).t());
}

TEST(RouterScores, AndTheirGradientsAreThoseOfElementaryOperations) {
  for (const auto kind :
       {InputNoise::Kind::none, InputNoise::Kind::jitter, InputNoise::Kind::dropout}) {
    for (const torch::Dtype dtype : {torch::kFloat64, torch::kFloat32, torch::kBFloat16}) {
      const InputNoise noise = noise_of(kind);
      const auto weight_type = dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
      const Tensor pull = normal({kRows, kChoices}, 3, weight_type);
      std::vector<Tensor> all[2];
      for (int i = 0; i < 2; ++i) {
        const Tensor x = normal({kRows, kSize}, 1, dtype).set_requires_grad(true),
                     weight = normal({kChoices, kSize}, 2, weight_type).set_requires_grad(true);
        const Tensor y = i == 0 ? router_scores(x, weight, noise) : plain(x, weight, noise);
        y.backward(pull);
        all[i] = {y.detach(), x.grad(), weight.grad()};
        EXPECT_EQ(y.scalar_type(), weight_type);
        EXPECT_EQ(x.grad().scalar_type(), dtype);
      }
      // Sums of at most 37 products, and one rounding more where the stream is bfloat16.
      const double eps = dtype == torch::kFloat64 ? 2.3e-16 : 1.2e-7;
      for (size_t i = 0; i < 3; ++i) {
        const double rounding = i == 1 && dtype == torch::kBFloat16 ? 0x1p-8 : 0;
        const Tensor want = all[1][i].to(torch::kFloat64);
        expect_within(concat("of ", i), all[0][i], want,
                      want.abs() * rounding + 4 * std::sqrt(37.0) * eps * largest(want));
      }
    }
  }
}

TEST(RouterScores, RefuseShapesThatDoNotFit) {
  EXPECT_THROW(router_scores(normal({3, 4}, 1), normal({2, 5}, 1)), Error);
  EXPECT_THROW(
      router_scores(normal({3, 10}, 1), normal({2, 10}, 1), noise_of(InputNoise::Kind::jitter)),
      Error);
}

}  // namespace
}  // namespace pointwork::test
