#include "pointwork/ops/rope.h"

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
class RotateRows : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(RotateRows, Types);

// Ascending with gaps, up to `last`.
std::vector<int32_t> positions(int64_t rows, int64_t last) {
  std::vector<int32_t> position;
  for (int64_t t = 0; t < rows; ++t)
    position.push_back(static_cast<int32_t>(rows > 1 ? t * last / (rows - 1) : last));
  return position;
}

TYPED_TEST(RotateRows, EqualsReference) {
  using T = TypeParam;
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    for (const int64_t rows : kSizes) {
      for (const auto& [head_dim, dims] : {std::pair{8, 8}, std::pair{12, 6}, std::pair{33, 2}}) {
        for (const int64_t last : {300, 5000}) {
          const auto position = positions(rows, last);
          const kernels::cpu::RopeShape shape{rows, 3, head_dim, dims, 3 * head_dim, 3 * head_dim};
          const Tensor x = normal({rows, 3, head_dim}, 1, kDtype<T>).set_requires_grad(true);
          const Tensor g = normal({rows, 3, head_dim}, 2, kDtype<T>);
          const Tensor out = rotate(x, ints(position), dims, 1e4);
          out.backward(g);
          const auto want = reference::rotate(doubles(x), position, 1e4, shape, false);
          const auto grad = reference::rotate(doubles(g), position, 1e4, shape, true);
          const std::string what = concat(rows, " rows of ", head_dim, ", ", dims, " rotated",
                                          composite ? ", composite" : "");
          expect_close(what, elements<T>(out), want, 2, kEpsilon<T>);
          expect_close("gradient, " + what, elements<T>(x.grad()), grad, 2, kEpsilon<T>);
        }
      }
    }
  }
}

TEST(RotateRows, GradientEqualsCentralDifferences) {
  expect_gradients("rotate",
                   [](const auto& in) {
                     return rotate(in[0], ints({0, 2, 3, 1000}), 4, 1e4).sin();
                   },
                   {normal({4, 2, 6}, 1)});
}

// Queries and keys are slices of one packed projection.
TYPED_TEST(RotateRows, SlicesAndTransposedGradientsAreAsContiguousOnes) {
  using T = TypeParam;
  const Tensor position = ints(positions(7, 100));
  const Tensor packed = normal({7, 6, 8}, 1, kDtype<T>);
  const Tensor slice = packed.slice(1, 2, 5);
  EXPECT_TRUE(
      same_bits(rotate(slice, position, 8, 1e4), rotate(slice.contiguous(), position, 8, 1e4)));
  const Tensor turned = normal({7, 8, 3}, 2, kDtype<T>).transpose(1, 2);
  EXPECT_TRUE(
      same_bits(rotate(turned, position, 8, 1e4), rotate(turned.contiguous(), position, 8, 1e4)));
}

// A row's rotation is its position's, whatever table an earlier call has made, on any thread count.
TYPED_TEST(RotateRows, ResultsDependOnTheirOwnRowAlone) {
  using T = TypeParam;
  const Tensor x = normal({1000, 4, 16}, 1, kDtype<T>);
  const Tensor position = ints(positions(1000, 200));
  const Tensor before = rotate(x, position, 16, 1e5);
  rotate(x.slice(0, 0, 1), ints({70000}), 16, 1e5);
  EXPECT_TRUE(same_bits(rotate(x, position, 16, 1e5), before));
  EXPECT_TRUE(same_bits(rotate(x.slice(0, 500, 501), position.slice(0, 500, 501), 16, 1e5),
                        before.slice(0, 500, 501)));
  const Threads one(1);
  EXPECT_TRUE(same_bits(rotate(x, position, 16, 1e5), before));
}

TEST(RotateRows, NoRowsGiveNoRows) {
  const Tensor none = torch::empty({0, 2, 4});
  EXPECT_EQ(rotate(none, torch::empty({0}, torch::kInt32), 4, 1e4).sizes(), none.sizes());
}

TEST(RotateRows, WrongShapesAreNamed) {
  const Tensor x = normal({3, 2, 4}, 1);
  EXPECT_EQ(error_of([&] {
              rotate(x, ints({0, 1, 2}), 6, 1e4);
            }),
            "[rotate] x must be [T, heads, at least 6] but has shape [3, 2, 4]");
  EXPECT_EQ(error_of([&] {
              rotate(x, ints({0, 1, 2}), 3, 1e4);
            }),
            "[rotate] the rotated width must be even but is 3");
  EXPECT_EQ(error_of([&] {
              rotate(x, ints({0, 1}), 4, 1e4);
            }),
            "[rotate] positions must be [3] but have shape [2]");
}

}  // namespace
}  // namespace pointwork::test
