#include "pointwork/kernels/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/tolerance.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
using kernels::cpu::RopeShape;
namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

template <class T>
class Rope : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(Rope, Types);

constexpr double kTheta = 10000;
constexpr int64_t kPositions = 4096;

RopeShape packed(int64_t rows, int64_t heads, int64_t head_dim, int64_t dims) {
  return {rows, heads, head_dim, dims, heads * head_dim, heads * head_dim};
}

std::vector<RopeShape> shapes() {
  std::vector<RopeShape> made;
  for (const int64_t rows : kSizes) made.push_back(packed(rows, 3, 32, 32));
  // Halves of 1, 3, 4, 5, 16 and 33 elements, all and part of the head rotated, and nothing.
  for (const int64_t dims : {2, 6, 8, 10, 32, 66}) {
    made.push_back(packed(5, 2, dims, dims));
    made.push_back(packed(5, 2, dims + 3, dims));
  }
  made.push_back(packed(5, 2, 16, 0));
  made.push_back(packed(0, 2, 16, 16));
  return made;
}

std::string label(const RopeShape& shape, bool inverse) {
  return std::to_string(shape.rows) + " rows, " + std::to_string(shape.heads) + " heads of " +
         std::to_string(shape.head_dim) + ", " + std::to_string(shape.dims) + " rotated" +
         (inverse ? ", inverse" : "");
}

std::vector<int32_t> positions(int64_t rows) {
  std::vector<int32_t> position;
  for (int64_t t = 0; t < rows; ++t) {
    position.push_back(
        t == 1 ? 0 : static_cast<int32_t>(random_below(kPositions, 3, static_cast<uint64_t>(t))));
  }
  return position;
}

TEST(RopeTable, HoldsCosinesAndSinesOfEveryAngle) {
  const auto table = cpu::rope_table(kPositions, 6, kTheta);
  ASSERT_EQ(table.size(), static_cast<size_t>(kPositions * 6));
  for (int64_t p = 0; p < kPositions; ++p) {
    for (int64_t i = 0; i < 3; ++i) {
      const double angle =
          static_cast<double>(p) / std::pow(kTheta, static_cast<double>(2 * i) / 6.0);
      // A relative error of 2⁻⁵¹ in an angle of up to 4096, then the rounding to float.
      const double bound = 0x1p-24 + 4096 * 0x1p-51;
      EXPECT_NEAR(table[static_cast<size_t>(p * 6 + i)], std::cos(angle), bound) << p << ", " << i;
      EXPECT_NEAR(table[static_cast<size_t>(p * 6 + 3 + i)], std::sin(angle), bound)
          << p << ", " << i;
    }
  }
}

TYPED_TEST(Rope, EqualsReference) {
  using T = TypeParam;
  for (const RopeShape& shape : shapes()) {
    const auto table = cpu::rope_table(kPositions, shape.dims, kTheta);
    const auto position = positions(shape.rows);
    const auto x = random_values<T>(shape.rows * shape.heads * shape.head_dim, 1);
    for (const bool inverse : {false, true}) {
      std::vector<T> out(x.size(), T(7.0f));
      cpu::rotate(x.data(), position.data(), table.data(), shape, inverse, out.data());
      // The table is float, whatever the element type.
      expect_close(label(shape, inverse), out,
                   reference::rotate(widened(x), position, kTheta, shape, inverse), 2,
                   kEpsilon<float>);
      std::vector<T> same = x;
      cpu::rotate(same.data(), position.data(), table.data(), shape, inverse, same.data());
      EXPECT_EQ(widened(same), widened(out)) << "in place, " << label(shape, inverse);
    }
  }
}

// The rotated part of a packed query-key-value row, to rows of its own and back into the pack.
TYPED_TEST(Rope, StridesLeaveTheRestAlone) {
  using T = TypeParam;
  const int64_t rows = 7, heads = 2, head_dim = 10, stride = 3 * heads * head_dim;
  const auto table = cpu::rope_table(kPositions, 6, kTheta);
  const auto position = positions(rows);
  const auto x = random_values<T>(rows * stride, 1);
  std::vector<T> tight;
  for (int64_t t = 0; t < rows; ++t)
    tight.insert(tight.end(), x.begin() + t * stride, x.begin() + t * stride + heads * head_dim);
  const RopeShape whole = packed(rows, heads, head_dim, 6);
  std::vector<T> want(tight.size(), T(7.0f));
  cpu::rotate(tight.data(), position.data(), table.data(), whole, false, want.data());

  RopeShape shape = whole;
  shape.row_stride = stride;
  std::vector<T> out(tight.size(), T(7.0f));
  cpu::rotate(x.data(), position.data(), table.data(), shape, false, out.data());
  EXPECT_EQ(widened(out), widened(want));

  shape.out_row_stride = stride;
  std::vector<T> same = x;
  cpu::rotate(same.data(), position.data(), table.data(), shape, false, same.data());
  std::vector<T> expected = x;
  for (int64_t t = 0; t < rows; ++t)
    std::copy_n(want.begin() + t * heads * head_dim, heads * head_dim,
                expected.begin() + t * stride);
  EXPECT_EQ(widened(same), widened(expected));
}

// The gradient is the transpose: ⟨rotate(x), y⟩ = ⟨x, inverse(y)⟩, the same sum in other order.
TEST(Rope, InverseIsTheTranspose) {
  const RopeShape shape = packed(33, 2, 10, 6);
  const auto table = cpu::rope_table(kPositions, 6, kTheta);
  const auto position = positions(33);
  const auto x = random_values<double>(660, 1), y = random_values<double>(660, 2);
  std::vector<double> forward(660), back(660);
  cpu::rotate(x.data(), position.data(), table.data(), shape, false, forward.data());
  cpu::rotate(y.data(), position.data(), table.data(), shape, true, back.data());
  double left = 0, right = 0, terms = 0;
  for (size_t i = 0; i < 660; ++i) {
    left += forward[i] * y[i];
    right += x[i] * back[i];
    terms += std::abs(forward[i] * y[i]) + std::abs(x[i] * back[i]);
  }
  EXPECT_NEAR(left, right, 4 * std::sqrt(660.0) * 0x1p-52 * terms);
}

TEST(Rope, NotANumberStaysInItsPair) {
  const RopeShape shape = packed(1, 2, 8, 8);
  const auto table = cpu::rope_table(8, 8, kTheta);
  std::vector<float> x(16, 1.0f);
  x[1] = std::numeric_limits<float>::quiet_NaN();
  const int32_t position = 3;
  cpu::rotate(x.data(), &position, table.data(), shape, false, x.data());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(std::isnan(x[i]), i == 1 || i == 5) << i;
}

}  // namespace
}  // namespace pointwork::test
