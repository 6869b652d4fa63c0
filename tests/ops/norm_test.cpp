#include "pointwork/ops/norm.h"

#include <gtest/gtest.h>

#include <optional>

#include "pointwork/ops/device.h"
#include "tests/kernels/tolerance.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
namespace reference = kernels::reference;

template <class T>
class Norm : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(Norm, Types);

constexpr double kEps = 1e-5;

struct Case {
  std::vector<int64_t> sizes;
  bool centred, bias;
};

std::vector<Case> cases() {
  std::vector<Case> made;
  for (const int64_t width : kSizes) {
    made.push_back({{3, width}, true, true});
    made.push_back({{3, width}, true, false});
    made.push_back({{3, width}, false, false});
  }
  for (const int64_t rows : kSizes) made.push_back({{rows, 33}, rows % 2 == 0, false});
  made.push_back({{5, 4, 12}, false, false});  // heads
  made.push_back({{5, 4, 12}, true, true});
  made.push_back({{0, 12}, true, true});
  return made;
}

std::string label(const Case& c) {
  return (c.centred ? "layer_norm " : "rms_norm ") + concat(at::IntArrayRef(c.sizes)) +
         (c.bias ? ", bias" : "");
}

Tensor apply(const Case& c, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return c.centred ? layer_norm(x, weight, bias, kEps) : rms_norm(x, weight, kEps);
}

TYPED_TEST(Norm, EqualsReference) {
  using T = TypeParam;
  for (const Case& c : cases()) {
    const int64_t width = c.sizes.back();
    const auto rows = static_cast<double>(c.sizes[0] * (c.sizes.size() == 3 ? c.sizes[1] : 1));
    const Tensor x = (normal(c.sizes, 1) + 0.5).to(kDtype<T>).set_requires_grad(true);
    const Tensor weight = normal({width}, 2, kDtype<T>).set_requires_grad(true);
    Tensor bias;
    if (c.bias) bias = normal({width}, 3, kDtype<T>).set_requires_grad(true);
    const Tensor g = normal(c.sizes, 4, kDtype<T>);
    const auto shift = c.bias ? doubles(bias) : std::vector<double>();
    const auto want = reference::norm(doubles(x), doubles(weight), shift, kEps, c.centred);
    const auto grad =
        reference::norm_backward(doubles(g), doubles(x), doubles(weight), {}, kEps, c.centred);
    const auto n = static_cast<double>(width);

    const Tensor out = apply(c, x, weight, bias);
    out.backward(g);
    expect_close(label(c), elements<T>(out), want.y, n, kEpsilon<T>);
    expect_close("d_x, " + label(c), elements<T>(x.grad()), grad.d_x, n, kEpsilon<T>);
    // Each term holds a row's statistics, a sum over the width.
    expect_close("d_weight, " + label(c), elements<T>(weight.grad()), grad.d_weight,
                 std::max(rows, n), kEpsilon<T>);
    if (c.bias)
      expect_close("d_bias, " + label(c), elements<T>(bias.grad()), grad.d_bias, rows, kEpsilon<T>);

    const CompositeGuard guard;
    expect_close("composite, " + label(c), elements<T>(apply(c, x, weight, bias)), want.y, n,
                 kEpsilon<T>);
  }
}

TEST(Norm, GradientsEqualCentralDifferences) {
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    for (const int64_t width : {1, 3, 31, 33}) {
      const std::vector<Tensor> in = {normal({4, width}, 1) + 0.5, normal({width}, 2),
                                      normal({width}, 3)};
      // Of one element nothing is left but the bias.
      if (width > 1) {
        expect_gradients(
            "layer_norm",
            [](const auto& in) { return layer_norm(in[0], in[1], in[2], kEps).sin(); }, in);
      }
      expect_gradients("rms_norm",
                       [](const auto& in) { return rms_norm(in[0], in[1], kEps).sin(); },
                       {in[0], in[1]});
    }
  }
}

TYPED_TEST(Norm, StridedRowsAndGradientsAreAsContiguousOnes) {
  using T = TypeParam;
  const Tensor packed = normal({6, 5, 8}, 1, kDtype<T>);
  const Tensor weight = normal({8}, 2, kDtype<T>);
  const Tensor slice = packed.slice(1, 1, 3);
  EXPECT_TRUE(same_bits(rms_norm(slice, weight, kEps), rms_norm(slice.contiguous(), weight, kEps)));
  const auto gradient_of = [&](bool strided) {
    const Tensor x = slice.contiguous().clone().set_requires_grad(true);
    const Tensor g = normal({2, 6, 8}, 3, kDtype<T>).transpose(0, 1);
    layer_norm(x, weight, {}, kEps).backward(strided ? g : g.contiguous());
    return x.grad();
  };
  EXPECT_TRUE(same_bits(gradient_of(true), gradient_of(false)));
}

TYPED_TEST(Norm, ResultsDependOnNoThreadCount) {
  using T = TypeParam;
  const auto run = [](int threads) {
    const Threads set(threads);
    std::vector<Tensor> in = {normal({1000, 129}, 1, kDtype<T>), normal({129}, 2, kDtype<T>),
                              normal({129}, 3, kDtype<T>)};
    for (Tensor& x : in) x.set_requires_grad(true);
    const Tensor out = layer_norm(in[0], in[1], in[2], kEps) + rms_norm(in[0], in[1], kEps);
    out.backward(normal({1000, 129}, 4, kDtype<T>));
    return std::vector<Tensor>{out, in[0].grad(), in[1].grad(), in[2].grad()};
  };
  const auto one = run(1), two = run(2), again = run(2);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(same_bits(one[i], two[i])) << i;
    EXPECT_TRUE(same_bits(two[i], again[i])) << i;
  }
}

TEST(Norm, WrongShapesAreNamed) {
  const Tensor x = normal({3, 4}, 1);
  EXPECT_EQ(error_of([&] { layer_norm(x, normal({3}, 1), {}, kEps); }),
            "[layer_norm] weight must be [4] but has shape [3]");
  EXPECT_EQ(error_of([&] { layer_norm(x, normal({4}, 1), normal({5}, 1), kEps); }),
            "[layer_norm] bias must be [4] but has shape [5]");
  EXPECT_EQ(error_of([&] {
              rms_norm(x, normal({1, 4}, 1), kEps);
            }),
            "[rms_norm] weight must be [4] but has shape [1, 4]");
}

}  // namespace
}  // namespace pointwork::test
