#include "pointwork/ops/choose.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include "pointwork/kernels/reference.h"
#include "pointwork/ops/device.h"
#include "tests/kernels/cases.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <class Body>
void on_both_paths(const Body& body) {
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    body(composite ? ", composite" : ", kernel");
  }
}

Tensor valid_tensor(const std::vector<uint8_t>& valid) {
  return valid.empty()
             ? Tensor()
             : torch::tensor(std::vector<int>(valid.begin(), valid.end())).to(torch::kBool);
}

TEST(TopRows, EqualReference) {
  on_both_paths([](const std::string& path) {
    for (const ChoiceCase& c : choice_cases()) {
      const int64_t length = c.start[1], rows = static_cast<int64_t>(c.score.size());
      if (c.start[2] != 2 * length || c.each > length) continue;  // runs of equal length alone
      const std::vector<double> score(c.score.begin(), c.score.end());
      EXPECT_EQ(elements<int32_t>(top_rows("t", torch::tensor(c.score), rows / length,
                                           valid_tensor(c.valid), ints(c.count), c.each)),
                kernels::reference::top_rows(score, c.start, c.valid, c.count, c.each))
          << c.name << path;
      if (!c.valid.empty()) continue;
      const std::vector<int32_t> full(c.count.size(), static_cast<int32_t>(c.each));
      EXPECT_EQ(
          elements<int32_t>(top_rows("t", torch::tensor(c.score), rows / length, {}, {}, c.each)),
          kernels::reference::top_rows(score, c.start, {}, full, c.each))
          << c.name << path;
    }
  });
}

// What is no number ranks below −∞, and only rows that may be chosen are.
TEST(TopRows, NotANumberRanksLowestAndStopsNothing) {
  on_both_paths([](const std::string& path) {
    const Tensor score = torch::tensor({kNan, -kInfinity, 3.0f, kNan, 5.0f, kInfinity, 1.0f, kNan});
    EXPECT_EQ(elements<int32_t>(top_rows("t", score, 2, {}, {}, 2)),
              (std::vector<int32_t>{1, 2, 4, 5}))
        << path;
    EXPECT_EQ(elements<int32_t>(top_rows("t", score, 2, {}, {}, 3)),
              (std::vector<int32_t>{0, 1, 2, 4, 5, 6}))
        << path;
    // The valid rows that are no number come before the invalid, which nothing makes eligible.
    const Tensor valid = valid_tensor({0, 1, 0, 1, 0, 0, 0, 1});
    EXPECT_EQ(elements<int32_t>(top_rows("t", score, 2, valid, ints({2, 1}), 3)),
              (std::vector<int32_t>{1, 3, -1, 7, -1, -1}))
        << path;
    EXPECT_EQ(elements<int32_t>(top_rows("t", score, 2, valid, ints({3, 0}), 3)),
              (std::vector<int32_t>{1, 3, -1, -1, -1, -1}))
        << path;
    const Tensor all = torch::full({4}, kNan);
    EXPECT_EQ(elements<int32_t>(top_rows("t", all, 1, {}, {}, 2)), (std::vector<int32_t>{0, 1}))
        << path;
  });
}

// Float64 scores are ranked as the float32 scores of every other model are.
TEST(TopRows, Float64ScoresAreRankedInFloat32) {
  on_both_paths([](const std::string& path) {
    const Tensor score = torch::tensor({1.0, 1.0 + 1e-12, 0.5}, torch::kFloat64);
    EXPECT_EQ(elements<int32_t>(top_rows("t", score, 1, {}, {}, 1)), (std::vector<int32_t>{0}))
        << path;
  });
}

TEST(TopRows, WrongShapesAreNamed) {
  const Tensor six = normal({6}, 1, torch::kFloat32);
  EXPECT_EQ(error_of([&] { top_rows("layers.1", six, 4, {}, {}, 1); }),
            "[layers.1] scores must be [4 x S] but have shape [6]");
  EXPECT_EQ(error_of([&] {
              top_rows("layers.1", six.view({2, 3}), 2, {}, {}, 1);
            }),
            "[layers.1] scores must be [2 x S] but have shape [2, 3]");
  EXPECT_EQ(error_of([&] { top_rows("layers.1", six, 2, {}, {}, 4); }),
            "[layers.1] 4 slots asked of sequences of 3 rows");
  EXPECT_EQ(error_of([&] {
              top_rows("layers.1", six, 2, valid_tensor({1, 1}), {}, 1);
            }),
            "[layers.1] valid must be [6] but has shape [2]");
  EXPECT_EQ(error_of([&] { top_rows("layers.1", six, 2, {}, ints({1}), 1); }),
            "[layers.1] wanted must be [2] but has shape [1]");
}

TEST(RowsAboveZero, AreThoseAndAscend) {
  const Tensor decision = torch::tensor({0.0f, 1e-30f, -1.0f, kNan, 2.0f, kInfinity, -0.0f});
  EXPECT_EQ(elements<int32_t>(rows_above_zero(decision, {})), (std::vector<int32_t>{1, 4, 5}));
  EXPECT_EQ(elements<int32_t>(rows_above_zero(decision, valid_tensor({1, 0, 1, 1, 1, 0, 1}))),
            (std::vector<int32_t>{4}));
  EXPECT_EQ(rows_above_zero(-decision.abs(), {}).size(0), 0);
}

}  // namespace
}  // namespace pointwork::test
