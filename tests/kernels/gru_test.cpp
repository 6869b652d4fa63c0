#include "pointwork/kernels/gru.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "pointwork/kernels/activation_math.h"
#include "tests/kernels/tolerance.h"

namespace pointwork::test {
namespace {

namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

template <class T>
class Gru : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Gru, Types);

struct Case {
  int64_t rows, size;
  double spread;
  bool zero;  // the state
};

std::string label(const Case& c) {
  return std::to_string(c.rows) + " rows of " + std::to_string(c.size) + " ± " +
         std::to_string(c.spread) + (c.zero ? ", of a state of 0" : "");
}

// Where nothing saturates, where much does, and where exponentials under- and overflow.
std::vector<Case> cases() {
  std::vector<Case> made;
  for (const int64_t n : kSizes) {
    for (const bool zero : {false, true}) {
      for (const double spread : {1e-3, 1.0, 6.0, 60.0}) made.push_back({3, n, spread, zero});
      made.push_back({n, 33, 1, zero});
    }
  }
  return made;
}

template <class T>
struct Problem {
  std::vector<T> a, c, h, d_out;
};

template <class T>
Problem<T> problem(const Case& of) {
  const int64_t n = of.rows * of.size;
  Problem<T> p{random_values<T>(3 * n, 1, of.spread),
               random_values<T>(of.zero ? 3 * of.size : 3 * n, 2, of.spread),
               {},
               random_values<T>(n, 4)};
  if (!of.zero) p.h = random_values<T>(n, 3);
  return p;
}

template <class T>
struct Result {
  std::vector<T> out, kept, d_a, d_c, d_h;
};

template <class T>
Result<T> run(const Case& of, const Problem<T>& p) {
  const auto n = static_cast<size_t>(of.rows * of.size);
  const auto filled = [](size_t count) { return std::vector<T>(count, T(7)); };
  Result<T> r{filled(n), filled((of.zero ? 3 : 4) * n), filled(3 * n), filled(p.c.size()),
              filled(p.h.size())};
  const T* h = of.zero ? nullptr : p.h.data();
  cpu::gru_cell(p.a.data(), p.c.data(), h, r.out.data(), r.kept.data(), of.rows, of.size);
  cpu::gru_cell_backward(p.d_out.data(), r.kept.data(), of.zero ? p.c.data() : nullptr, h,
                         r.d_a.data(), r.d_c.data(), of.zero ? nullptr : r.d_h.data(), of.rows,
                         of.size);
  return r;
}

TYPED_TEST(Gru, EqualsReference) {
  using T = TypeParam;
  for (const Case& of : cases()) {
    const auto p = problem<T>(of);
    const auto r = run(of, p);
    expect_close(label(of), r.out,
                 reference::gru_cell(widened(p.a), widened(p.c), widened(p.h), of.size), 1,
                 kEpsilon<T>);
    const auto want = reference::gru_cell_backward(widened(p.d_out), widened(p.a), widened(p.c),
                                                   widened(p.h), of.size);
    expect_close("d_a, " + label(of), r.d_a, want.d_a, 1, kEpsilon<T>);
    expect_close("d_c, " + label(of), r.d_c, want.d_c, of.zero ? static_cast<double>(of.rows) : 1,
                 kEpsilon<T>);
    expect_close("d_h, " + label(of), r.d_h, want.d_h, 1, kEpsilon<T>);
  }
}

// To the last bit: a state that is not there is one of zeros, and nothing need be kept.
TYPED_TEST(Gru, NoStateIsAStateOfZeros) {
  using T = TypeParam;
  for (const int64_t size : kSizes) {
    const Case of{5, size, 1, true};
    const auto p = problem<T>(of);
    const auto r = run(of, p);
    Problem<T> zeros = p;
    zeros.h.assign(p.d_out.size(), T(0));
    zeros.c.clear();
    for (int64_t t = 0; t < of.rows; ++t) zeros.c.insert(zeros.c.end(), p.c.begin(), p.c.end());
    const auto same = run({5, size, 1, false}, zeros);
    EXPECT_EQ(same.out, r.out) << size;
    EXPECT_EQ(same.d_a, r.d_a) << size;

    std::vector<T> alone(r.out.size(), T(7));
    cpu::gru_cell<T>(p.a.data(), p.c.data(), nullptr, alone.data(), nullptr, of.rows, size);
    EXPECT_EQ(alone, r.out) << size;
    cpu::gru_cell<T>(p.a.data(), zeros.c.data(), zeros.h.data(), alone.data(), nullptr, of.rows,
                     size);
    EXPECT_EQ(alone, r.out) << size;
  }
}

TEST(Gru, NoRowsHaveNoGradient) {
  const std::vector<float> c(9, 1.0f);
  std::vector<float> d_c(9, 7.0f);
  cpu::gru_cell_backward<float>(nullptr, nullptr, c.data(), nullptr, nullptr, d_c.data(), nullptr,
                                0, 3);
  EXPECT_EQ(d_c, std::vector<float>(9, 0.0f));
}

// Far out a gate is 0 or 1 and the new state ±1, whatever stands beside it; what is no number
// spoils its own element and no other.
TYPED_TEST(Gru, ExtremesKeepTheirMeaning) {
  using T = TypeParam;
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN(), kFar = 1e4;
  //                       keep   new    new  reset away      NaN   plain
  const std::vector<T> a = {0,    kFar,  kFar,  -kFar, 0,    0,      // reset
                            kFar, -kFar, -kFar, -kFar, kNan, -kFar,  // update
                            3,    kFar,  -kFar, 0.5,   0,    0};     // new
  const std::vector<T> c = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, kFar, 0, 0};
  const std::vector<T> h = {0.25, 0.25, 0.25, 0.25, 0.25, 0.25};
  std::vector<T> out(6);
  cpu::gru_cell(a.data(), c.data(), h.data(), out.data(), static_cast<T*>(nullptr), 1, 6);
  EXPECT_EQ(out[0], T(0.25));
  EXPECT_EQ(out[1], 1);
  EXPECT_EQ(out[2], -1);
  EXPECT_NEAR(out[3], std::tanh(0.5), 1e-7);
  EXPECT_TRUE(std::isnan(out[4]));
  EXPECT_EQ(out[5], 0);
}

// A relative bound, which 2 σ(2x) − 1 would break near 0.
TEST(Tanh, LosesNoDigits) {
  double worst = 0;
  float at = 0;
  for (uint32_t word = 0x00800000u; word < 0x42B20000u; word += 97) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float x = std::bit_cast<float>(word | sign);
      const double got = kernels::simd::tanh(kernels::simd::broadcast<kernels::simd::Float8>(x))[0];
      const double want = std::tanh(static_cast<double>(x));
      const double error = std::abs(got / want - 1) / 0x1p-23;
      if (!(error <= worst)) worst = error, at = x;
    }
  }
  EXPECT_LE(worst, 3.0) << "of 2^-23 at " << at;
  EXPECT_GE(worst, 0.5);  // or nothing was measured
  const auto of = [](float x) {
    return kernels::simd::tanh(kernels::simd::broadcast<kernels::simd::Float8>(x))[0];
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(of(kInfinity), 1);
  EXPECT_EQ(of(-kInfinity), -1);
  EXPECT_EQ(std::bit_cast<uint32_t>(of(0.0f)), 0u);
  EXPECT_EQ(std::bit_cast<uint32_t>(of(-0.0f)), 0x80000000u);
  EXPECT_EQ(of(0x1p-140f), 0x1p-140f);
  EXPECT_TRUE(std::isnan(of(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Gru, ResultsDependOnNoThreadCount) {
  for (const bool zero : {false, true}) {
    const Case of{1000, 129, 1, zero};
    const auto p = problem<float>(of);
    const auto with = [&](int threads) {
      const int before = omp_get_max_threads();
      omp_set_num_threads(threads);
      auto r = run(of, p);
      omp_set_num_threads(before);
      return r;
    };
    const auto one = with(1), three = with(3);
    EXPECT_EQ(one.out, three.out);
    EXPECT_EQ(one.d_a, three.d_a);
    EXPECT_EQ(one.d_c, three.d_c);
    EXPECT_EQ(one.d_h, three.d_h);
  }
}

}  // namespace
}  // namespace pointwork::test
