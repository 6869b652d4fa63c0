#include "pointwork/kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include "tests/kernels/tolerance.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

template <class T>
class CrossEntropy : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(CrossEntropy, Types);

struct Made {
  std::vector<float> loss, lse;
  std::vector<int32_t> argmax;
};

template <class T>
Made run(const T* logits, int64_t stride, int64_t vocab, const std::vector<int32_t>& target,
         float scale, float z, T* grad) {
  const size_t rows = target.size();
  Made made{std::vector<float>(rows, 7), std::vector<float>(rows, 7),
            std::vector<int32_t>(rows, 7)};
  cpu::cross_entropy_rows(logits, stride, static_cast<int64_t>(rows), vocab, target.data(), scale,
                          z, grad, made.loss.data(), made.lse.data(), made.argmax.data());
  return made;
}

std::vector<int32_t> targets(int64_t rows, int64_t vocab) {
  std::vector<int32_t> target;
  for (int64_t t = 0; t < rows; ++t) {
    target.push_back(t % 4 == 3 ? -1
                                : static_cast<int32_t>(random_below(static_cast<uint64_t>(vocab), 5,
                                                                    static_cast<uint64_t>(t))));
  }
  return target;
}

TYPED_TEST(CrossEntropy, EqualsReference) {
  using T = TypeParam;
  for (const int64_t vocab : {1, 3, 31, 32, 33, 127, 129, 1000, 8192}) {
    for (const double spread : {0.1, 3.0, 30.0}) {
      const auto logits = random_values<T>(9 * vocab, 1, spread);
      const auto target = targets(9, vocab);
      const float scale = 0.125f, z = 1e-2f;
      std::vector<T> grad(logits.size(), T(7.0f));
      const Made made = run(logits.data(), vocab, vocab, target, scale, z, grad.data());
      const auto want = reference::cross_entropy_rows(widened(logits), vocab, target, scale,
                                                      static_cast<double>(z));
      const std::string what =
          "vocab " + std::to_string(vocab) + ", spread " + std::to_string(spread);
      const auto n = static_cast<double>(vocab);
      expect_close("grad, " + what, grad, want.grad, n, kEpsilon<T>);
      expect_close("loss, " + what, made.loss, want.loss, n, kEpsilon<T>);
      expect_close("lse, " + what, made.lse, want.lse, n, kEpsilon<T>);
      EXPECT_EQ(made.argmax, want.argmax) << what;

      std::vector<T> same = logits;
      const Made in_place = run(same.data(), vocab, vocab, target, scale, z, same.data());
      EXPECT_EQ(widened(same), widened(grad)) << what;
      EXPECT_EQ(in_place.loss, made.loss) << what;
      const Made no_grad = run<T>(logits.data(), vocab, vocab, target, scale, z, nullptr);
      EXPECT_EQ(no_grad.loss, made.loss) << what;
    }
  }
}

TYPED_TEST(CrossEntropy, StrideLeavesTheRestAlone) {
  using T = TypeParam;
  const int64_t vocab = 33, stride = 40;
  auto logits = random_values<T>(4 * stride, 1);
  const auto before = widened(logits);
  run(logits.data(), stride, vocab, {0, -1, 32, 5}, 1.0f, 0.0f, logits.data());
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t i = vocab; i < stride; ++i)
      EXPECT_EQ(widened(logits)[t * stride + i], before[t * stride + i]);
    double sum = 0;
    for (int64_t i = 0; i < vocab; ++i) sum += widened(logits)[t * stride + i];
    EXPECT_NEAR(sum, 0, 33 * kRoundoff<T>);
  }
}

TEST(CrossEntropy, ExtremesKeepTheirMeaning) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const auto loss = [](std::vector<float> row, int32_t target) {
    std::vector<float> grad(row.size());
    const Made made = run(row.data(), static_cast<int64_t>(row.size()),
                          static_cast<int64_t>(row.size()), {target}, 1.0f, 0.0f, grad.data());
    EXPECT_EQ(std::isnan(grad[0]), std::isnan(made.loss[0]));
    return made.loss[0];
  };
  EXPECT_EQ(loss({3e38f, -3e38f, 0}, 0), 0);
  EXPECT_EQ(loss({1e4f, -kInfinity, 0}, 0), 0);
  EXPECT_EQ(loss({0, -kInfinity}, 1), kInfinity);
  EXPECT_TRUE(std::isnan(loss({0, kNan, 1}, 0)));
  EXPECT_TRUE(std::isnan(loss({0, kInfinity, 1}, 0)));
  EXPECT_TRUE(std::isnan(loss({-kInfinity, -kInfinity}, 0)));
  EXPECT_NEAR(loss({-1000, -1000}, 0), std::log(2.0), 1e-6);
}

struct Taught {
  std::vector<float> loss, soft, lse;
};

template <class T>
Taught run_taught(const T* logits, const T* teacher, int64_t stride, int64_t vocab,
                  const std::vector<int32_t>& target, const cpu::TaughtWeights& weights, T* grad) {
  const size_t rows = target.size();
  Taught made{std::vector<float>(rows, 7), std::vector<float>(rows, 7),
              std::vector<float>(rows, 7)};
  cpu::taught_cross_entropy_rows(logits, teacher, stride, static_cast<int64_t>(rows), vocab,
                                 target.data(), weights, grad, made.loss.data(), made.soft.data(),
                                 made.lse.data());
  return made;
}

TYPED_TEST(CrossEntropy, BesideATeacherEqualsReference) {
  using T = TypeParam;
  for (const int64_t vocab : {1, 3, 31, 32, 33, 127, 129, 1000, 8192}) {
    for (const double temperature : {1.0, 2.5, 0.5}) {
      for (const double spread : {0.1, 3.0, 30.0}) {
        const auto logits = random_values<T>(9 * vocab, 1, spread);
        const auto teacher = random_values<T>(9 * vocab, 2, spread);
        const auto target = targets(9, vocab);
        const cpu::TaughtWeights weights{0.125, 0.75, 0.25, temperature, 1e-2};
        std::vector<T> grad(logits.size(), T(7.0f));
        const Taught made =
            run_taught(logits.data(), teacher.data(), vocab, vocab, target, weights, grad.data());
        const auto want = reference::taught_cross_entropy_rows(widened(logits), widened(teacher),
                                                               vocab, target, weights);
        const std::string what = "vocab " + std::to_string(vocab) + ", temperature " +
                                 std::to_string(temperature) + ", spread " + std::to_string(spread);
        const auto n = static_cast<double>(vocab);
        expect_close("grad, " + what, grad, want.grad, n, kEpsilon<T>);
        expect_close("loss, " + what, made.loss, want.loss, n, kEpsilon<T>);
        expect_close("soft, " + what, made.soft, want.soft, n, kEpsilon<T>);
        expect_close("lse, " + what, made.lse, want.lse, n, kEpsilon<T>);

        std::vector<T> same = logits;
        const Taught in_place =
            run_taught(same.data(), teacher.data(), vocab, vocab, target, weights, same.data());
        EXPECT_EQ(widened(same), widened(grad)) << what;
        EXPECT_EQ(in_place.soft, made.soft) << what;
        const Taught no_grad =
            run_taught<T>(logits.data(), teacher.data(), vocab, vocab, target, weights, nullptr);
        EXPECT_EQ(no_grad.loss, made.loss) << what;
        EXPECT_EQ(no_grad.soft, made.soft) << what;
        // The hard loss is what it is alone, to the last bit.
        EXPECT_EQ(run<T>(logits.data(), vocab, vocab, target, 1.0f, 0.0f, nullptr).lse, made.lse);
      }
    }
  }
}

TEST(CrossEntropy, ExtremesOfATeacherKeepTheirMeaning) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const auto soft = [](std::vector<float> row, const std::vector<float>& teacher,
                       double temperature = 1) {
    const auto n = static_cast<int64_t>(row.size());
    std::vector<float> grad(row.size());
    const Taught made = run_taught(row.data(), teacher.data(), n, n, {0},
                                   {.soft = 1, .temperature = temperature}, grad.data());
    EXPECT_EQ(std::isnan(grad[0]), std::isnan(made.soft[0]) || std::isnan(made.loss[0]));
    return made.soft[0];
  };
  for (const double temperature : {1.0, 2.0}) {
    EXPECT_EQ(soft({0, -kInfinity}, {0, -kInfinity}, temperature), 0);
    EXPECT_EQ(soft({0, -kInfinity}, {0, -1e6f}, temperature), 0);
    EXPECT_EQ(soft({0, -kInfinity}, {0, 0}, temperature), kInfinity);
    EXPECT_TRUE(std::isnan(soft({0, 1}, {0, kNan}, temperature)));
    EXPECT_TRUE(std::isnan(soft({0, 1}, {0, kInfinity}, temperature)));
    EXPECT_TRUE(std::isnan(soft({0, kNan}, {0, 1}, temperature)));
    EXPECT_NEAR(soft({-1000, -1000}, {500, 500}, temperature), std::log(2.0), 1e-6);
    EXPECT_EQ(soft({3e4f, -3e4f}, {3e4f, -3e4f}, temperature), 0);
  }
}

TEST(CrossEntropy, TiesOfTheLargestGoToTheLowerId) {
  const std::vector<float> row = {0, 5, 1, 5};
  EXPECT_EQ(run<float>(row.data(), 4, 4, {0}, 1.0f, 0.0f, nullptr).argmax[0], 1);
}

}  // namespace
}  // namespace pointwork::test
