#include "pointwork/kernels/norm.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>

#include "tests/kernels/tolerance.h"

namespace pointwork::test {
namespace {

using kernels::Accumulator;
using kernels::BFloat16;
namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

template <class Row, class Weight>
struct Of {
  using T = Row;
  using W = Weight;
};
template <class Pair>
class NormKernel : public ::testing::Test {};
using Types = ::testing::Types<Of<float, float>, Of<double, double>, Of<BFloat16, BFloat16>,
                               Of<BFloat16, float>>;
TYPED_TEST_SUITE(NormKernel, Types);

constexpr double kEps = 1e-5;

struct Case {
  int64_t rows, width;
  double offset, spread;  // of x
  bool centred, bias, residual;
};

std::string label(const Case& c) {
  return std::string(c.centred ? "LayerNorm" : "RMSNorm") + " of " + std::to_string(c.rows) +
         " rows of " + std::to_string(c.width) + " about " + std::to_string(c.offset) + " ± " +
         std::to_string(c.spread) + (c.bias ? ", bias" : "") + (c.residual ? ", residual" : "");
}

std::vector<Case> cases() {
  std::vector<Case> made;
  for (const int64_t width : kSizes) {
    for (const bool centred : {true, false}) {
      made.push_back({3, width, 0, 1, centred, centred, true});
      made.push_back({3, width, 100, 0.1, centred, false, false});
      made.push_back({3, width, 2, 0, centred, false, false});  // no variance: eps alone
      made.push_back({3, width, 0, 1e-4, centred, centred, false});
    }
  }
  for (const int64_t rows : kSizes) {
    made.push_back({rows, 129, 0.5, 2, true, true, true});
    made.push_back({rows, 129, 0.5, 2, false, false, true});
  }
  return made;
}

template <class T>
std::vector<T> inputs(const Case& c, uint64_t seed) {
  std::vector<T> x = random_values<T>(c.rows * c.width, seed, c.spread);
  for (T& value : x) value = T(value + static_cast<Accumulator<T>>(c.offset));
  return x;
}

template <class T>
struct Forward {
  std::vector<T> y, sum;
  std::vector<Accumulator<T>> mean, rstd;
};

// delta empty: the norm of x alone.
template <class T, class W>
Forward<T> forward(const Case& c, std::vector<T> x, const std::vector<T>& delta,
                   const std::vector<W>& weight, const std::vector<W>& bias) {
  const auto rows = static_cast<size_t>(c.rows);
  Forward<T> f{std::vector<T>(x.size(), T(7.0f)), std::move(x), {}, {}};
  f.mean.assign(rows, 0);
  f.rstd.assign(rows, 7);
  const W* shift = bias.empty() ? nullptr : bias.data();
  if (c.centred && delta.empty()) {
    cpu::layer_norm(f.sum.data(), weight.data(), shift, kEps, f.y.data(), f.mean.data(),
                    f.rstd.data(), c.rows, c.width);
  } else if (c.centred) {
    cpu::add_layer_norm(f.sum.data(), delta.data(), weight.data(), shift, kEps, f.sum.data(),
                        f.y.data(), f.mean.data(), f.rstd.data(), c.rows, c.width);
  } else if (delta.empty()) {
    cpu::rms_norm(f.sum.data(), weight.data(), kEps, f.y.data(), f.rstd.data(), c.rows, c.width);
  } else {
    cpu::add_rms_norm(f.sum.data(), delta.data(), weight.data(), kEps, f.sum.data(), f.y.data(),
                      f.rstd.data(), c.rows, c.width);
  }
  return f;
}

template <class T, class W>
struct Problem {
  std::vector<T> x, d_y, residual;
  std::vector<W> weight, bias;
};

template <class T, class W>
Problem<T, W> problem(const Case& c) {
  Problem<T, W> p{inputs<T>(c, 1), random_values<T>(c.rows * c.width, 2), {}, {}, {}};
  p.weight = random_values<W>(c.width, 3);
  if (c.bias) p.bias = random_values<W>(c.width, 4);
  if (c.residual) p.residual = random_values<T>(c.rows * c.width, 5);
  return p;
}

template <class T>
struct Gradient {
  std::vector<T> d_x;
  std::vector<Accumulator<T>> d_weight, d_bias;
};

// target: where d_x is written: null for memory of its own.
template <class T, class W>
Gradient<T> backward(const Case& c, Problem<T, W>& p, const Forward<T>& f, T* target = nullptr) {
  const auto width = static_cast<size_t>(c.width);
  Gradient<T> g{std::vector<T>(p.x.size(), T(7.0f)), std::vector<Accumulator<T>>(width, 7),
                std::vector<Accumulator<T>>(c.bias ? width : 0, 7)};
  T* d_x = target ? target : g.d_x.data();
  const T* residual = c.residual ? p.residual.data() : nullptr;
  if (c.centred) {
    cpu::layer_norm_backward(p.d_y.data(), p.x.data(), p.weight.data(), f.mean.data(),
                             f.rstd.data(), d_x, g.d_weight.data(),
                             c.bias ? g.d_bias.data() : nullptr, c.rows, c.width, residual);
  } else {
    cpu::rms_norm_backward(p.d_y.data(), p.x.data(), p.weight.data(), f.rstd.data(), d_x,
                           g.d_weight.data(), c.rows, c.width, residual);
  }
  if (target) g.d_x.assign(target, target + p.x.size());
  return g;
}

TYPED_TEST(NormKernel, ForwardEqualsReference) {
  using T = typename TypeParam::T;
  using W = typename TypeParam::W;
  for (const Case& c : cases()) {
    const auto p = problem<T, W>(c);
    const auto f = forward(c, p.x, {}, p.weight, p.bias);
    const auto want =
        reference::norm(widened(p.x), widened(p.weight), widened(p.bias), kEps, c.centred);
    const auto n = static_cast<double>(c.width);
    expect_close("y, " + label(c), f.y, want.y, n, kEpsilon<T>);
    expect_close("rstd, " + label(c), f.rstd, want.rstd, n, kEpsilon<T>);
    if (c.centred) expect_close("mean, " + label(c), f.mean, want.mean, n, kEpsilon<T>);
  }
}

// The fused form is the plain one of the sum as it is stored, to the last bit, and in place.
TYPED_TEST(NormKernel, OfASumEqualsTheSumThenTheNorm) {
  using T = typename TypeParam::T;
  using W = typename TypeParam::W;
  for (const Case& c : cases()) {
    const auto p = problem<T, W>(c);
    const auto delta = random_values<T>(c.rows * c.width, 6);
    std::vector<T> sum;
    for (size_t i = 0; i < delta.size(); ++i) sum.push_back(T(p.x[i] + delta[i]));
    const auto fused = forward(c, p.x, delta, p.weight, p.bias);
    const auto plain = forward(c, sum, {}, p.weight, p.bias);
    EXPECT_EQ(widened(fused.sum), widened(sum)) << label(c);
    EXPECT_EQ(widened(fused.y), widened(plain.y)) << label(c);
    EXPECT_EQ(fused.rstd, plain.rstd) << label(c);
    EXPECT_EQ(fused.mean, plain.mean) << label(c);
  }
}

TYPED_TEST(NormKernel, BackwardEqualsReference) {
  using T = typename TypeParam::T;
  using W = typename TypeParam::W;
  for (const Case& c : cases()) {
    auto p = problem<T, W>(c);
    const auto f = forward(c, p.x, {}, p.weight, p.bias);
    const auto g = backward(c, p, f);
    const auto want = reference::norm_backward(widened(p.d_y), widened(p.x), widened(p.weight),
                                               widened(p.residual), kEps, c.centred);
    const auto n = static_cast<double>(std::max(c.width, c.rows));
    expect_close("d_x, " + label(c), g.d_x, want.d_x, n, kEpsilon<T>);
    expect_close("d_weight, " + label(c), g.d_weight, want.d_weight, n, kEpsilon<T>);
    if (c.bias) expect_close("d_bias, " + label(c), g.d_bias, want.d_bias, n, kEpsilon<T>);

    auto over_d_y = p;
    EXPECT_EQ(widened(backward(c, over_d_y, f, over_d_y.d_y.data()).d_x), widened(g.d_x))
        << "in place of d_y, " << label(c);
    if (!c.residual) continue;
    auto over_residual = p;
    EXPECT_EQ(widened(backward(c, over_residual, f, over_residual.residual.data()).d_x),
              widened(g.d_x))
        << "in place of d_residual, " << label(c);
  }
}

TEST(NormKernel, NoRowsHaveNoGradient) {
  const std::vector<float> weight = {1, 2, 3};
  std::vector<float> d_weight(3, 7), d_bias(3, 7);
  cpu::layer_norm_backward<float, float>(nullptr, nullptr, weight.data(), nullptr, nullptr, nullptr,
                                         d_weight.data(), d_bias.data(), 0, 3);
  EXPECT_EQ(d_weight, std::vector<float>(3, 0));
  EXPECT_EQ(d_bias, std::vector<float>(3, 0));
}

// What is no number spoils its own row and no other.
TEST(NormKernel, NotANumberStaysInItsRow) {
  const Case c{3, 33, 0, 1, true, true, false};
  auto p = problem<float, float>(c);
  const auto clean = forward(c, p.x, {}, p.weight, p.bias);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto x = p.x;
    x[33 + 32] = bad;
    const auto f = forward(c, x, {}, p.weight, p.bias);
    for (size_t i = 0; i < x.size(); ++i) {
      if (i / 33 == 1) {
        EXPECT_TRUE(std::isnan(f.y[i])) << i;
      } else {
        EXPECT_EQ(f.y[i], clean.y[i]) << i;
      }
    }
  }
}

TEST(NormKernel, ResultsDependOnNoThreadCount) {
  const Case c{1000, 129, 0, 1, true, true, true};
  auto p = problem<float, float>(c);
  const auto f = forward(c, p.x, {}, p.weight, p.bias);
  const auto run = [&](int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    auto g = backward(c, p, f);
    omp_set_num_threads(before);
    return g;
  };
  const auto one = run(1), three = run(3);
  EXPECT_EQ(one.d_x, three.d_x);
  EXPECT_EQ(one.d_weight, three.d_weight);
  EXPECT_EQ(one.d_bias, three.d_bias);
}

}  // namespace
}  // namespace pointwork::test
