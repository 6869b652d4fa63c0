#include "pointwork/kernels/activation.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "tests/kernels/tolerance.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
using kernels::Nonlinearity;
namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

template <class T>
class Activation : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(Activation, Types);

const std::vector<std::pair<Nonlinearity, std::string>> kKinds = {
    {Nonlinearity::gelu, "gelu"},
    {Nonlinearity::gelu_tanh, "gelu_tanh"},
    {Nonlinearity::relu, "relu"}};

// What a feed-forward sees, what underflows and what saturates.
constexpr double kSpreads[] = {1e-3, 1, 6, 40};

TYPED_TEST(Activation, EqualsReference) {
  using T = TypeParam;
  for (const auto& [kind, name] : kKinds) {
    for (const int64_t count : {1, 3, 31, 32, 33, 127, 128, 129, 1000, 9001}) {
      for (const double spread : kSpreads) {
        const auto x = random_values<T>(count, 1, spread);
        const auto d_y = random_values<T>(count, 2);
        const std::string what =
            name + " of " + std::to_string(count) + " ± " + std::to_string(spread);
        std::vector<T> y(x.size(), T(7.0f)), d_x(x.size(), T(7.0f));
        cpu::activate(kind, x.data(), y.data(), count);
        expect_close(what, y, reference::activate(kind, widened(x)), 1, kEpsilon<T>);
        cpu::activate_backward(kind, d_y.data(), x.data(), d_x.data(), count);
        expect_close("gradient, " + what, d_x,
                     reference::activate_backward(kind, widened(d_y), widened(x)), 1, kEpsilon<T>);

        std::vector<T> same = x;
        cpu::activate(kind, same.data(), same.data(), count);
        EXPECT_EQ(widened(same), widened(y)) << "in place, " << what;
        std::vector<T> over_x = x, over_d_y = d_y;
        cpu::activate_backward(kind, d_y.data(), over_x.data(), over_x.data(), count);
        EXPECT_EQ(widened(over_x), widened(d_x)) << "in place of x, " << what;
        cpu::activate_backward(kind, over_d_y.data(), x.data(), over_d_y.data(), count);
        EXPECT_EQ(widened(over_d_y), widened(d_x)) << "in place of d_y, " << what;
      }
    }
  }
}

// Halves of packed rows with a margin that must stay as it was.
TYPED_TEST(Activation, SwigluEqualsReference) {
  using T = TypeParam;
  for (const int64_t width : kSizes) {
    for (const int64_t margin : {0, 5}) {
      for (const double spread : kSpreads) {
        const int64_t rows = 7, stride = 2 * width + margin;
        const auto pack = random_values<T>(rows * stride, 1, spread);
        const auto d_out = random_values<T>(rows * width, 2);
        const std::vector<double> wide = widened(pack);
        std::vector<double> gate, up;
        for (int64_t t = 0; t < rows; ++t) {
          for (int64_t i = 0; i < width; ++i) {
            gate.push_back(wide[t * stride + i]);
            up.push_back(wide[t * stride + width + i]);
          }
        }
        const std::string what = std::to_string(width) + " wide, margin " + std::to_string(margin) +
                                 " ± " + std::to_string(spread);
        std::vector<T> out(d_out.size(), T(7.0f));
        cpu::swiglu(pack.data(), pack.data() + width, stride, out.data(), rows, width);
        expect_close(what, out, reference::swiglu(gate, up), 1, kEpsilon<T>);

        std::vector<T> d_pack(pack.size(), T(7.0f)), same = pack;
        cpu::swiglu_backward(d_out.data(), pack.data(), pack.data() + width, stride, d_pack.data(),
                             d_pack.data() + width, stride, rows, width);
        cpu::swiglu_backward(d_out.data(), same.data(), same.data() + width, stride, same.data(),
                             same.data() + width, stride, rows, width);
        std::vector<T> d_gate, d_up;
        for (int64_t t = 0; t < rows; ++t) {
          const auto row = d_pack.begin() + t * stride;
          d_gate.insert(d_gate.end(), row, row + width);
          d_up.insert(d_up.end(), row + width, row + 2 * width);
          for (int64_t i = 2 * width; i < stride; ++i) {
            EXPECT_EQ(d_pack[t * stride + i], T(7.0f)) << what;
            EXPECT_EQ(same[t * stride + i], pack[t * stride + i]) << what;
            same[t * stride + i] = T(7.0f);
          }
        }
        EXPECT_EQ(widened(same), widened(d_pack)) << "in place, " << what;
        const auto want = reference::swiglu_backward(widened(d_out), gate, up);
        expect_close("d_gate, " + what, d_gate, want.d_gate, 1, kEpsilon<T>);
        expect_close("d_up, " + what, d_up, want.d_up, 1, kEpsilon<T>);
      }
    }
  }
}

// Far from 0 each activation is 0 or x, its slope 0 or 1; what is no number stays none.
TYPED_TEST(Activation, ExtremesKeepTheirMeaning) {
  using T = TypeParam;
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& [kind, name] : kKinds) {
    const std::vector<T> x = {T(0.0f), T(-200.0f), T(200.0f), T(1e4f), T(-1e4f), T(kNan)};
    const std::vector<T> one(x.size(), T(1.0f));
    std::vector<T> y(x.size()), slope(x.size());
    cpu::activate(kind, x.data(), y.data(), 6);
    cpu::activate_backward(kind, one.data(), x.data(), slope.data(), 6);
    for (size_t i = 0; i < 5; ++i) {
      const double value = widened(x)[i];
      EXPECT_EQ(widened(y)[i], std::max(value, 0.0)) << name;
      const double at_zero = kind == Nonlinearity::relu ? 0 : 0.5;
      EXPECT_EQ(widened(slope)[i], value == 0 ? at_zero : (value > 0 ? 1 : 0))
          << name << " of " << value;
    }
    EXPECT_TRUE(std::isnan(widened(y)[5])) << name;
    EXPECT_TRUE(std::isnan(widened(slope)[5])) << name << " slope";
  }
}

TEST(Activation, SwigluFarOutIsZeroOrTheProduct) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> gate = {-1e4f, 1e4f, kNan, 1}, up = {2, 2, 2, kNan};
  std::vector<float> out(4), d_gate(4), d_up(4);
  const std::vector<float> one(4, 1.0f);
  cpu::swiglu(gate.data(), up.data(), 4, out.data(), 1, 4);
  cpu::swiglu_backward(one.data(), gate.data(), up.data(), 4, d_gate.data(), d_up.data(), 4, 1, 4);
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(out[1], 2e4f);
  EXPECT_EQ(d_gate[0], 0);
  EXPECT_EQ(d_gate[1], 2);
  EXPECT_EQ(d_up[0], 0);
  EXPECT_EQ(d_up[1], 1e4f);
  for (const size_t i : {2, 3}) EXPECT_TRUE(std::isnan(out[i]) && std::isnan(d_gate[i])) << i;
}

TEST(Activation, ResultsDependOnNoThreadCount) {
  const auto x = random_values<float>(100001, 1);
  const auto run = [&](int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    std::vector<float> y(x.size());
    cpu::activate(Nonlinearity::gelu, x.data(), y.data(), 100001);
    omp_set_num_threads(before);
    return y;
  };
  EXPECT_EQ(run(1), run(3));
}

}  // namespace
}  // namespace pointwork::test
