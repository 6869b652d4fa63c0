#include "pointwork/route/choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(SlotsOf, IsTheCeilingOfTheExactShare) {
  // Shares as a person writes them: p / q, whose product with a whole number rounding must not lift
  // above the next one.
  for (const int64_t q : {3, 8, 10, 16, 100, 1000}) {
    for (int64_t p = 1; p <= q; p += std::max<int64_t>(1, q / 40)) {
      const double capacity = static_cast<double>(p) / static_cast<double>(q);
      for (const int64_t rows : {1, 2, 3, 7, 10, 30, 31, 32, 33, 127, 128, 1000, 2048, 100000})
        EXPECT_EQ(slots_of(capacity, rows), (p * rows + q - 1) / q)
            << p << "/" << q << ", " << rows;
    }
  }
  EXPECT_EQ(slots_of(0.1, 30), 3);
  EXPECT_EQ(slots_of(0.1, 31), 4);
  EXPECT_EQ(slots_of(1e-12, 5), 1);
  EXPECT_EQ(slots_of(0.5, 0), 0);
}

TEST(CapacityAt, WalksAtMostSixteenValuesEachHeldEquallyLong) {
  for (const int64_t values : {2, 3, 16}) {
    for (const int64_t steps : {1, 2, 15, 16, 1000}) {
      for (const double start : {1.0, 0.05}) {
        const RouteConfig config{.capacity = 0.125, .capacity_schedule = {start, steps, values}};
        std::vector<double> seen = {capacity_at(config, 0)};
        std::vector<int64_t> held = {0};
        for (int64_t step = 0; step < steps; ++step) {
          const double now = capacity_at(config, step);
          if (now != seen.back()) seen.push_back(now), held.push_back(0);
          ++held.back();
        }
        EXPECT_EQ(seen.front(), start);
        for (const int64_t step : {steps, steps + 1, int64_t{1} << 40})
          EXPECT_EQ(capacity_at(config, step), 0.125);
        EXPECT_LE(seen.size(), static_cast<size_t>(values - 1));
        EXPECT_EQ(std::count(seen.begin(), seen.end(), 0.125), 0);
        if (steps >= values) {
          EXPECT_EQ(seen.size(), static_cast<size_t>(values - 1));
        }
        EXPECT_LE(*std::max_element(held.begin(), held.end()),
                  1 + *std::min_element(held.begin(), held.end()));
        const bool falls = start > 0.125;
        for (size_t i = 1; i < seen.size(); ++i) EXPECT_EQ(seen[i] < seen[i - 1], falls);
      }
    }
  }
  EXPECT_EQ(capacity_at({.capacity = 0.3}, 0), 0.3);
}

// Written down from the definition, one sequence after another.
std::vector<int32_t> best_rows(const std::vector<double>& score, const std::vector<uint8_t>& valid,
                               int64_t sequences, double capacity, int64_t each) {
  std::vector<int32_t> token;
  const int64_t length = static_cast<int64_t>(score.size()) / sequences;
  for (int64_t b = 0; b < sequences; ++b) {
    std::vector<int32_t> rows;
    for (int64_t t = b * length; t < (b + 1) * length; ++t)
      if (valid[t]) rows.push_back(static_cast<int32_t>(t));
    std::stable_sort(rows.begin(), rows.end(), [&](int32_t a, int32_t c) {
      const double first = std::isnan(score[a]) ? -HUGE_VAL : score[a];
      const double second = std::isnan(score[c]) ? -HUGE_VAL : score[c];
      return first > second;
    });
    const auto most = static_cast<size_t>(
        rows.empty() ? 0 : slots_of(capacity, static_cast<int64_t>(rows.size())));
    rows.resize(std::min(rows.size(), most));
    std::sort(rows.begin(), rows.end());
    rows.resize(static_cast<size_t>(each), kEmpty);
    token.insert(token.end(), rows.begin(), rows.end());
  }
  return token;
}

Rows rows_of(int64_t sequences, int64_t length) {
  return uniform_rows(sequences, length, torch::kCPU);
}

TEST(ChooseTop, TakesTheBestOfEachSequence) {
  for (const int64_t length : {1, 3, 31, 32, 33, 127, 128, 129, 1000}) {
    for (const double capacity : {0.01, 0.125, 0.3, 0.5, 0.999}) {
      for (const int kind : {0, 1, 2}) {  // all different, many ties, some no number
        Tensor score = normal({3 * length}, 7, torch::kFloat32);
        if (kind == 1) score = score.round();
        if (kind == 2) score[length / 2] = kNan;
        const Rows rows = rows_of(3, length);
        const Route route = choose_top("layers.1", score, rows, capacity);
        const int64_t each = slots_of(capacity, length);
        const std::vector<uint8_t> valid(static_cast<size_t>(3 * length), 1);
        EXPECT_EQ(elements<int32_t>(route.token),
                  best_rows(doubles(score), valid, 3, capacity, each))
            << length << ", " << capacity << ", " << kind;
        EXPECT_EQ(route.shape.each, each);
        EXPECT_EQ(route.shape.slots, 3 * each);
        EXPECT_EQ(route.shape.rows, 3 * length);
        EXPECT_EQ(route.sequences, 3);
        EXPECT_TRUE(same_bits(route.root, rows.root));
      }
    }
  }
}

TEST(ChooseTop, ASequenceOfFewerValidRowsTakesItsShareOfThose) {
  for (const int64_t length : {1, 3, 33, 129}) {
    for (const double capacity : {1e-12, 0.1, 0.125, 0.5, 0.75}) {
      for (const bool tail : {true, false}) {
        Rows rows = rows_of(4, length);
        std::vector<uint8_t> valid;
        for (int64_t t = 0; t < 4 * length; ++t) {
          const int64_t sequence = t / length, at = t % length;
          valid.push_back(sequence == 0 || (sequence == 1 && at < (length + 1) / 2) ||
                          (sequence == 2 &&
                           (tail ? at < 1 : random_uniform(1, static_cast<uint64_t>(t)) < 0.4)));
        }
        rows.valid = torch::tensor(std::vector<int>(valid.begin(), valid.end())).to(torch::kBool);
        const Tensor score = normal({4 * length}, 3, torch::kFloat32).round();
        const Route route = choose_top("layers.1", score, rows, capacity);
        const auto want = best_rows(doubles(score), valid, 4, capacity, slots_of(capacity, length));
        EXPECT_EQ(elements<int32_t>(route.token), want) << length << ", " << capacity;
        EXPECT_TRUE(same_bits(route.valid, rows.valid));
      }
    }
  }
}

TEST(ChooseTop, RaggedSequencesAreRefused) {
  Rows rows = rows_of(2, 3);
  rows.each = 0;
  EXPECT_EQ(error_of([&] { choose_top("layers.1", torch::zeros({6}), rows, 0.5); }),
            "[layers.1] selection as in training needs sequences of equal length");
}

TEST(ChooseAboveZero, TakesValidRowsWhoseDecisionIsAboveZero) {
  Rows rows = rows_of(2, 4);
  rows.each = 0;
  rows.start = ints({0, 3, 8});  // ragged
  const Tensor decision = torch::tensor({0.0f, 1e-30f, -1.0f, 3.0f, kNan, kInfinity, 2.0f, -0.0f});
  EXPECT_EQ(elements<int32_t>(choose_above_zero(decision, rows).token),
            (std::vector<int32_t>{1, 3, 5, 6}));
  rows.valid = torch::tensor({1, 0, 1, 1, 1, 1, 0, 1}).to(torch::kBool);
  const Route route = choose_above_zero(decision, rows);
  EXPECT_EQ(elements<int32_t>(route.token), (std::vector<int32_t>{3, 5}));
  EXPECT_EQ(route.shape.each, 0);
  EXPECT_EQ(route.shape.slots, 2);
  EXPECT_EQ(elements<int32_t>(route.row_offset), (std::vector<int32_t>{0, 0, 0, 0, 1, 1, 2, 2, 2}));
  EXPECT_EQ(elements<int32_t>(route.row_slot), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(choose_above_zero(-decision.abs(), rows).token.size(0), 0);
}

TEST(ChooseAll, TakesEveryRowInOrder) {
  Rows rows = rows_of(2, 3);
  rows.valid = torch::tensor({1, 1, 0, 1, 0, 0}).to(torch::kBool);
  const Route route = choose_all(rows);
  EXPECT_EQ(elements<int32_t>(route.token), (std::vector<int32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(route.shape.each, 3);
  EXPECT_EQ(route.shape.slots, 6);
}

TEST(BoundaryScore, IsTheMeanOfTheLowestChosenScores) {
  Rows rows = rows_of(3, 4);
  const Tensor score =
      torch::tensor({1.0f, 4.0f, 2.0f, 3.0f, -5.0f, -6.0f, -8.0f, -7.0f, 9.0f, 9.0f, 9.0f, 9.0f});
  EXPECT_EQ(boundary_score(score, rows, 0.5).item<float>(), (3.0f - 6.0f + 9.0f) / 3);
  // ⌈0.5 · v⌉ of the valid rows; a sequence without any counts for nothing.
  rows.valid = torch::tensor({1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0}).to(torch::kBool);
  EXPECT_EQ(boundary_score(score, rows, 0.5).item<float>(), (2.0f - 5.0f) / 2);
  // So does one whose lowest chosen score is no number.
  score[4] = kNan;
  EXPECT_EQ(boundary_score(score, rows, 0.5).item<float>(), 2.0f);
}

TEST(BoundaryScore, WithoutAnyChosenScoreIsNoNumber) {
  Rows rows = rows_of(2, 2);
  EXPECT_TRUE(std::isnan(boundary_score(torch::full({4}, kNan), rows, 0.5).item<float>()));
  EXPECT_TRUE(std::isnan(boundary_score(torch::full({4}, kInfinity), rows, 0.5).item<float>()));
  rows.valid = torch::zeros({4}, torch::kBool);
  EXPECT_TRUE(std::isnan(boundary_score(torch::ones({4}), rows, 0.5).item<float>()));
}

TEST(RandomScores, AreNamedBySeedLayerRoundPositionAndKey) {
  Rows rows = rows_of(3, 5);
  rows.key = torch::tensor({int64_t{100}, int64_t{7}, int64_t{1} << 40});
  const auto all = elements<float>(random_scores("layers.1", rows, 42, 3));
  const int64_t* key = rows.key.data_ptr<int64_t>();
  for (size_t t = 0; t < all.size(); ++t) {
    EXPECT_EQ(all[t], static_cast<float>(random_normal(stream_key(42, "layers.1#3"), t % 5,
                                                       static_cast<uint64_t>(key[t / 5]))));
  }
  const auto differs = [&](const Tensor& other) { return elements<float>(other) != all; };
  EXPECT_TRUE(differs(random_scores("layers.1", rows, 43, 3)));
  EXPECT_TRUE(differs(random_scores("layers.2", rows, 42, 3)));
  EXPECT_TRUE(differs(random_scores("layers.1", rows, 42, 4)));
}

// A row of a sequence is the same row in any batch, cut anywhere, routed or not before.
TEST(RandomScores, DependOnNoBatchMates) {
  Rows rows = rows_of(3, 5);
  rows.key = torch::tensor({int64_t{100}, int64_t{7}, int64_t{8}});
  const auto all = elements<float>(random_scores("layers.1", rows, 1, 0));
  Rows alone = rows_of(1, 5);
  alone.key = torch::tensor({int64_t{7}});
  EXPECT_EQ(elements<float>(random_scores("layers.1", alone, 1, 0)),
            std::vector<float>(all.begin() + 5, all.begin() + 10));
  const Rows inner = gather_rows_of(rows, ints({1, 4, 5, 7, 10, 14}), 2);
  EXPECT_EQ(elements<float>(random_scores("layers.1", inner, 1, 0)),
            (std::vector<float>{all[1], all[4], all[5], all[7], all[10], all[14]}));
  const Rows ragged = gather_rows_of(rows, ints({4, 10, 12, 13}), 0);
  EXPECT_EQ(elements<float>(random_scores("layers.1", ragged, 1, 0)),
            (std::vector<float>{all[4], all[10], all[12], all[13]}));
}

TEST(RandomScores, AreNormal) {
  const Rows rows = rows_of(100, 1000);
  const Tensor score = random_scores("layers.1", rows, 5, 0).to(torch::kFloat64);
  // Five standard errors of each moment of 1e5 numbers.
  EXPECT_NEAR(score.mean().item<double>(), 0, 5 / std::sqrt(1e5));
  EXPECT_NEAR(score.square().mean().item<double>(), 1, 5 * std::sqrt(2 / 1e5));
  const double share = score.gt(-inverse_normal(0.125)).to(torch::kFloat64).mean().item<double>();
  EXPECT_NEAR(share, 0.125, 5 * std::sqrt(0.125 * 0.875 / 1e5));
}

TEST(InverseNormal, EqualsKnownQuantiles) {
  // By bisection in 60 digits, of the double nearest to each probability.
  const std::vector<std::pair<double, double>> known = {{1e-300, -37.04709629936119924},
                                                        {1e-100, -21.27345356096532429},
                                                        {1e-20, -9.26234008979840758},
                                                        {1e-16, -8.222082216130435615},
                                                        {1e-12, -7.034483825301131933},
                                                        {1e-9, -5.997807015007686861},
                                                        {1e-6, -4.753424308822898957},
                                                        {0.001, -3.090232306167813535},
                                                        {0.02, -2.053748910631823044},
                                                        {0.025, -1.959963984540054212},
                                                        {0.1, -1.281551565544600435},
                                                        {0.125, -1.150349380376008178},
                                                        {0.25, -0.6744897501960817432},
                                                        {0.3, -0.524400512708040816},
                                                        {0.4, -0.2533471031357997413},
                                                        {0.49, -0.02506890825871105803},
                                                        {0.5, 0}};
  for (const auto& [p, z] : known) EXPECT_NEAR(inverse_normal(p), z, 1e-12) << p;
  for (const double p : {0.5, 0.625, 0.75, 0.875})
    EXPECT_EQ(inverse_normal(p), -inverse_normal(1 - p));
  for (const double p : {0.0, 1.0, -1.0, std::nan("")}) {
    EXPECT_NE(error_of([&] { inverse_normal(p); }).find("expects p in (0, 1)"), std::string::npos);
  }
}

TEST(UniformRows, AreSequencesOneAfterAnother) {
  const Rows rows = rows_of(2, 3);
  EXPECT_EQ(elements<int32_t>(rows.position), (std::vector<int32_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(elements<int32_t>(rows.sequence), (std::vector<int32_t>{0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(elements<int32_t>(rows.root), (std::vector<int32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(elements<int32_t>(rows.start), (std::vector<int32_t>{0, 3, 6}));
  EXPECT_EQ(elements<int64_t>(rows.key), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(rows.each, 3);
}

TEST(GatherRows, KeepsWhatEachRowIs) {
  Rows rows = rows_of(2, 4);
  rows.document = ints({0, 0, 1, 1, 5, 6, 6, 7});
  const Rows inner = gather_rows_of(rows, ints({1, 3, 4, 6}), 2);
  EXPECT_EQ(elements<int32_t>(inner.position), (std::vector<int32_t>{1, 3, 0, 2}));
  EXPECT_EQ(elements<int32_t>(inner.sequence), (std::vector<int32_t>{0, 0, 1, 1}));
  EXPECT_EQ(elements<int32_t>(inner.root), (std::vector<int32_t>{1, 3, 4, 6}));
  EXPECT_EQ(elements<int32_t>(inner.document), (std::vector<int32_t>{0, 1, 5, 6}));
  EXPECT_EQ(elements<int32_t>(inner.start), (std::vector<int32_t>{0, 2, 4}));
  EXPECT_FALSE(inner.valid.defined());
  EXPECT_EQ(inner.each, 2);
}

TEST(GatherRows, EmptySlotsAreNobody) {
  Rows rows = rows_of(2, 3);
  rows.document = ints({3, 3, 4, 3, 3, 3});
  rows.valid = torch::tensor({1, 1, 1, 1, 0, 0}).to(torch::kBool);
  const Rows inner = gather_rows_of(rows, ints({0, 2, 3, -1}), 2);
  EXPECT_EQ(bools(inner.valid), (std::vector<uint8_t>{1, 1, 1, 0}));
  EXPECT_EQ(elements<int32_t>(inner.root), (std::vector<int32_t>{0, 2, 3, -1}));
  EXPECT_EQ(elements<int32_t>(inner.document), (std::vector<int32_t>{3, 4, 3, -1}));
  // Of what was gathered a router may take the rows, not the hole.
  const Route again = choose_top("inner", torch::tensor({1.0f, 2.0f, 3.0f, 4.0f}), inner, 1 - 1e-6);
  EXPECT_EQ(elements<int32_t>(again.token), (std::vector<int32_t>{0, 1, 2, -1}));
}

// A batch may be some of a cache's sequences, and some of those may have no row.
TEST(GatherRows, RaggedRowsStayWithTheirSequence) {
  Rows rows = rows_of(3, 2);
  rows.each = 0;
  rows.sequence = ints({2, 2, 5, 5, 9, 9});
  rows.position = ints({7, 8, 0, 1, 3, 4});
  rows.key = torch::tensor({int64_t{20}, int64_t{50}, int64_t{90}});
  const Rows inner = gather_rows_of(rows, ints({0, 1, 5}), 0);
  EXPECT_EQ(elements<int32_t>(inner.start), (std::vector<int32_t>{0, 2, 2, 3}));
  EXPECT_EQ(elements<int32_t>(inner.sequence), (std::vector<int32_t>{2, 2, 9}));
  EXPECT_EQ(inner.sequences(), 3);
  EXPECT_EQ(elements<float>(random_scores("layers.1", inner, 1, 0)).back(),
            static_cast<float>(random_normal(stream_key(1, "layers.1#0"), 4, 90)));
  const Rows none = gather_rows_of(rows, torch::empty({0}, torch::kInt32), 0);
  EXPECT_EQ(elements<int32_t>(none.start), (std::vector<int32_t>{0, 0, 0, 0}));
}

}  // namespace
}  // namespace pointwork::test
