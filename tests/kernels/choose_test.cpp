#include "pointwork/kernels/choose.h"

#include <gtest/gtest.h>

#include <limits>

#include "pointwork/kernels/reference.h"
#include "tests/kernels/cases.h"

namespace pointwork::test {
namespace {

namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

const uint8_t* pointer(const std::vector<uint8_t>& valid) {
  return valid.empty() ? nullptr : valid.data();
}

TEST(Choose, TopRowsEqualReference) {
  for (const ChoiceCase& choice : choice_cases()) {
    const auto segments = static_cast<int64_t>(choice.count.size());
    std::vector<int32_t> token(static_cast<size_t>(segments * choice.each), 7);
    EXPECT_EQ(cpu::top_rows(choice.score.data(), choice.start.data(), segments,
                            pointer(choice.valid), choice.count.data(), choice.each, token.data()),
              -1);
    EXPECT_EQ(token, reference::top_rows(widened(choice.score), choice.start, choice.valid,
                                         choice.count, choice.each))
        << choice.name;
  }
}

TEST(Choose, KthScoreEqualsReference) {
  for (const ChoiceCase& choice : choice_cases()) {
    const auto segments = static_cast<int64_t>(choice.count.size());
    std::vector<float> value(static_cast<size_t>(segments), 7);
    EXPECT_EQ(cpu::kth_score(choice.score.data(), choice.start.data(), segments,
                             pointer(choice.valid), choice.count.data(), value.data()),
              -1);
    EXPECT_EQ(widened(value),
              reference::kth_score(widened(choice.score), choice.start, choice.valid, choice.count))
        << choice.name;
  }
}

TEST(Choose, InfinitiesAreScores) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> score = {
      -kInfinity, 1, kInfinity, -kInfinity, std::numeric_limits<float>::lowest(), -0.0f};
  const std::vector<int32_t> start = {0, 6}, count = {5};
  std::vector<int32_t> token(5);
  cpu::top_rows(score.data(), start.data(), 1, nullptr, count.data(), 5, token.data());
  EXPECT_EQ(token, (std::vector<int32_t>{0, 1, 2, 4, 5}));
}

TEST(Choose, NanIsReportedAndNothingWritten) {
  std::vector<float> score = random_values<float>(64, 1);
  const std::vector<int32_t> start = {0, 32, 64}, count = {4, 4};
  std::vector<uint8_t> valid(64, 1);
  score[40] = score[50] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<int32_t> before(8, 7);
  std::vector<int32_t> token = before;
  EXPECT_EQ(
      cpu::top_rows(score.data(), start.data(), 2, valid.data(), count.data(), 4, token.data()),
      40);
  EXPECT_EQ(token, before);
  valid[40] = 0;
  EXPECT_EQ(
      cpu::top_rows(score.data(), start.data(), 2, valid.data(), count.data(), 4, token.data()),
      50);
  valid[50] = 0;
  EXPECT_EQ(
      cpu::top_rows(score.data(), start.data(), 2, valid.data(), count.data(), 4, token.data()),
      -1);
  std::vector<float> value(2, 7);
  EXPECT_EQ(cpu::kth_score(score.data(), start.data(), 2, nullptr, count.data(), value.data()), 40);
  EXPECT_EQ(value, std::vector<float>(2, 7));
}

TEST(Choose, RowsAboveAreStrictlyAboveAndAscend) {
  for (const int64_t rows : kSizes) {
    std::vector<float> decision = random_values<float>(rows, 3);
    decision[0] = 0.25f;
    decision[static_cast<size_t>(rows) / 2] = std::numeric_limits<float>::quiet_NaN();
    std::vector<uint8_t> valid(decision.size());
    for (size_t t = 0; t < valid.size(); ++t) valid[t] = t % 3 != 1;
    std::vector<int32_t> token(decision.size()), want, want_all;
    for (size_t t = 0; t < decision.size(); ++t) {
      if (decision[t] > 0.25f) want_all.push_back(static_cast<int32_t>(t));
      if (decision[t] > 0.25f && valid[t]) want.push_back(static_cast<int32_t>(t));
    }
    token.resize(static_cast<size_t>(
        cpu::rows_above(decision.data(), rows, 0.25f, valid.data(), token.data())));
    EXPECT_EQ(token, want);
    token.resize(decision.size());
    token.resize(
        static_cast<size_t>(cpu::rows_above(decision.data(), rows, 0.25f, nullptr, token.data())));
    EXPECT_EQ(token, want_all);
  }
}

}  // namespace
}  // namespace pointwork::test
