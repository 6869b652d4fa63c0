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
Tensor plain(const Tensor& x, const Tensor& weight, const Tensor& bias, const InputNoise& noise) {
  const auto wide = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  Tensor input = x.to(wide);
  if (noise.kind != InputNoise::Kind::none) {
    const Tensor u =
        random_rows(noise.key, noise.position, noise.sequence, noise.sequence_key, kSize).to(wide);
    input = noise.kind == InputNoise::Kind::jitter
                ? input * (1 + noise.amount * (2 * u - 1))
                : input * u.ge(noise.amount).to(wide) / (1 - noise.amount);
  }
  const Tensor product = at::mm(input, weight.to(wide).t());
  return bias.defined() ? product + bias : product;
}

TEST(RouterScores, AndTheirGradientsAreThoseOfElementaryOperations) {
  for (const auto kind :
       {InputNoise::Kind::none, InputNoise::Kind::jitter, InputNoise::Kind::dropout}) {
    for (const torch::Dtype dtype : {torch::kFloat64, torch::kFloat32, torch::kBFloat16}) {
      const InputNoise noise = noise_of(kind);
      const auto weight_type = dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
      const Tensor pull = normal({kRows, kChoices}, 3, weight_type);
      // How: scores, the product without a bias, the product with one; and the same plainly.
      const auto run = [&](int how, bool ours) {
        const Tensor x = normal({kRows, kSize}, 1, dtype).set_requires_grad(true),
                     weight = normal({kChoices, kSize}, 2, weight_type).set_requires_grad(true);
        Tensor bias;
        if (how == 2) bias = normal({kChoices}, 4, weight_type).set_requires_grad(true);
        Tensor y;
        if (!ours) {
          y = plain(x, weight, bias, noise);
        } else {
          y = how == 0 ? router_scores(x, weight, noise) : router_product(x, weight, bias, noise);
        }
        y.backward(pull);
        EXPECT_EQ(y.scalar_type(), weight_type);
        EXPECT_EQ(x.grad().scalar_type(), dtype);
        std::vector<Tensor> all = {y.detach(), x.grad(), weight.grad()};
        if (how == 2) all.push_back(bias.grad());
        return all;
      };
      // Sums of at most 37 products, and one rounding more where the stream is bfloat16.
      const double eps = dtype == torch::kFloat64 ? 2.3e-16 : 1.2e-7;
      for (const int how : {0, 1, 2}) {
        const auto got = run(how, true), plainly = run(how, false);
        ASSERT_EQ(got.size(), plainly.size());
        for (size_t i = 0; i < got.size(); ++i) {
          const double rounding = i == 1 && dtype == torch::kBFloat16 ? 0x1p-8 : 0;
          const Tensor want = plainly[i].to(torch::kFloat64);
          expect_within(concat("of ", how, ", ", i), got[i], want,
                        want.abs() * rounding + 4 * std::sqrt(37.0) * eps * largest(want));
        }
      }
    }
  }
}

TEST(RouterScores, RefuseShapesThatDoNotFit) {
  EXPECT_THROW(router_scores(normal({3, 4}, 1), normal({2, 5}, 1)), Error);
  EXPECT_THROW(
      router_scores(normal({3, 10}, 1), normal({2, 10}, 1), noise_of(InputNoise::Kind::jitter)),
      Error);
  EXPECT_EQ(error_of([] {
              router_product(normal({3, 4}, 1), normal({2, 4}, 1), normal({3}, 1));
            }),
            "[router_product] bias must be [2] but has shape [3]");
}

}  // namespace
}  // namespace pointwork::test
