#include "pointwork/kernels/experts.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <tuple>

#include "pointwork/kernels/random.h"
#include "pointwork/kernels/reference.h"
#include "tests/kernels/experts_cases.h"

namespace pointwork::test {
namespace {

namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

const uint8_t* pointer(const std::vector<uint8_t>& flags) {
  return flags.empty() ? nullptr : flags.data();
}

std::vector<uint8_t> kept_by(const PairsCase& c, const float* weight) {
  std::vector<uint8_t> kept(c.choice.size(), 7);
  cpu::keep_pairs(c.choice.data(), weight, c.shape, kept.data());
  return kept;
}

reference::PairOrder sorted_by(const PairsCase& c, const std::vector<uint8_t>& kept,
                               int64_t slots) {
  reference::PairOrder out{std::vector<int32_t>(static_cast<size_t>(slots), 7),
                           std::vector<int32_t>(static_cast<size_t>(c.shape.experts) + 1, 7)};
  const int64_t filled =
      cpu::sort_pairs(c.choice.data(), pointer(kept), static_cast<int64_t>(c.choice.size()),
                      c.shape.experts, slots, out.pair.data(), out.offset.data());
  EXPECT_EQ(filled, out.offset.back()) << c.name;
  return out;
}

TEST(Experts, HighestColumnsEqualReference) {
  for (const ColumnsCase& c : columns_cases()) {
    std::vector<int32_t> column(static_cast<size_t>(c.rows * c.k), 7);
    cpu::highest_columns(c.score.data(), c.rows, c.columns, c.k, pointer(c.valid), column.data());
    ASSERT_EQ(column, reference::highest_columns(widened(c.score), c.columns, c.k, c.valid))
        << c.name;
  }
}

TEST(Experts, HighestColumnsOfTiesInfinitiesAndNoNumbers) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> score = {-0.0f, 0.0f,  1.0f, 1.0f,       -1.0f,
                                    kNan,  -kNan, 0.0f, -kInfinity, kInfinity};
  std::vector<int32_t> column(10);
  cpu::highest_columns(score.data(), 2, 5, 5, nullptr, column.data());
  EXPECT_EQ(column, (std::vector<int32_t>{2, 3, 0, 1, 4, 4, 2, 3, 0, 1}));
  // Beyond a few choices a sort takes over.
  column.resize(20);
  cpu::highest_columns(score.data(), 1, 10, 10, nullptr, column.data());
  column.resize(10);
  EXPECT_EQ(column, (std::vector<int32_t>{9, 2, 3, 0, 1, 7, 4, 8, 5, 6}));
}

TEST(Experts, KeepPairsEqualReferenceInBothPriorities) {
  int64_t differ = 0;
  for (const PairsCase& c : pairs_cases()) {
    const auto by_row = kept_by(c, nullptr), by_weight = kept_by(c, c.weight.data());
    ASSERT_EQ(by_row, reference::keep_pairs(c.choice, {}, c.shape)) << c.name;
    ASSERT_EQ(by_weight, reference::keep_pairs(c.choice, widened(c.weight), c.shape)) << c.name;
    differ += by_row != by_weight;
  }
  EXPECT_GT(differ, 50);
}

TEST(Experts, FirstChoicesGoBeforeSecondOnes) {
  // Row 0 wants expert 1 second, rows 1 and 2 first: the two slots of expert 1 are theirs.
  const std::vector<int32_t> choice = {0, 1, 1, 0, 1, -1};
  std::vector<uint8_t> kept(6, 7);
  cpu::keep_pairs(choice.data(), nullptr,
                  {.rows = 3, .k = 2, .experts = 2, .group = 3, .capacity = 2}, kept.data());
  EXPECT_EQ(kept, (std::vector<uint8_t>{1, 0, 1, 1, 1, 0}));
  // However heavy the second choice is.
  const std::vector<float> weight = {0, 9, 1, 9, 2, 9};
  cpu::keep_pairs(choice.data(), weight.data(),
                  {.rows = 3, .k = 2, .experts = 2, .group = 3, .capacity = 1}, kept.data());
  EXPECT_EQ(kept, (std::vector<uint8_t>{1, 0, 0, 0, 1, 0}));
}

// Fig. 15 of the Switch paper counts a row among those before itself, which wastes a slot.
TEST(Experts, EverySlotOfAFullExpertIsUsed) {
  for (const int64_t capacity : {1, 2, 31}) {
    const std::vector<int32_t> choice(100, 2);
    std::vector<uint8_t> kept(100, 7);
    cpu::keep_pairs(choice.data(), nullptr,
                    {.rows = 100, .k = 1, .experts = 3, .group = 100, .capacity = capacity},
                    kept.data());
    for (int64_t t = 0; t < 100; ++t) EXPECT_EQ(kept[static_cast<size_t>(t)], t < capacity);
  }
}

TEST(Experts, SortPairsEqualReference) {
  for (const PairsCase& c : pairs_cases()) {
    const auto pairs = static_cast<int64_t>(c.choice.size());
    for (const std::vector<uint8_t>& kept : {std::vector<uint8_t>(), kept_by(c, nullptr)}) {
      const auto most = reference::sort_pairs(c.choice, kept, c.shape.experts, pairs);
      for (const int64_t slots : {pairs, int64_t{most.offset.back()}}) {
        const auto got = sorted_by(c, kept, slots);
        const auto want = reference::sort_pairs(c.choice, kept, c.shape.experts, slots);
        ASSERT_EQ(got.pair, want.pair) << c.name;
        ASSERT_EQ(got.offset, want.offset) << c.name;
      }
    }
  }
}

TEST(Experts, MorePairsThanSlotsAreReportedAndNothingWritten) {
  const std::vector<int32_t> choice = {1, 0, 1, 2, -1};
  std::vector<int32_t> pair(2, 7), offset(3, 7);
  EXPECT_EQ(cpu::sort_pairs(choice.data(), nullptr, 5, 2, 2, pair.data(), offset.data()), 3);
  EXPECT_EQ(pair, (std::vector<int32_t>{7, 7}));
}

TEST(Experts, ResultsDependOnNoThreadCount) {
  const int64_t rows = 40000, columns = 16, k = 2;
  const std::vector<float> score = random_values<float>(rows * columns, 3);
  const auto run = [&](int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    std::vector<int32_t> choice(static_cast<size_t>(rows * k));
    cpu::highest_columns(score.data(), rows, columns, k, nullptr, choice.data());
    std::vector<uint8_t> kept(choice.size()), heaviest(choice.size());
    const cpu::KeepShape shape{rows, k, columns, 1024, 100};
    cpu::keep_pairs(choice.data(), nullptr, shape, kept.data());
    cpu::keep_pairs(choice.data(), score.data(), shape, heaviest.data());
    omp_set_num_threads(before);
    return std::tuple(choice, kept, heaviest);
  };
  EXPECT_EQ(run(1), run(3));
}

TEST(RandomRows, AreWordsOfPhiloxAtPositionColumnAndSequenceKey) {
  const std::vector<int32_t> position = {0, 5, 1 << 30, 7}, sequence = {0, 1, 1, 2},
                             first = {0, 4, 1 << 20, 64};
  const std::vector<int64_t> sequence_key = {3, int64_t{1} << 60, -1};
  const uint64_t key = stream_key(1, "a");
  for (const int64_t width : {1, 3, 4, 7, 63, 64, 65, 200}) {
    for (const bool shifted : {false, true}) {
      std::vector<float> out(static_cast<size_t>(4 * width), 7);
      cpu::random_rows({key, position.data(), sequence.data(), sequence_key.data(),
                        shifted ? first.data() : nullptr, 4, width},
                       out.data());
      for (size_t t = 0; t < 4; ++t) {
        for (size_t i = 0; i < static_cast<size_t>(width); ++i) {
          const uint64_t column = (shifted ? static_cast<uint64_t>(first[t]) : 0) + i;
          const uint64_t low = static_cast<uint64_t>(position[t]) | column / 4 << 32;
          const auto word =
              philox(key, low, static_cast<uint64_t>(sequence_key[sequence[t]]))[column % 4];
          ASSERT_EQ(out[t * static_cast<size_t>(width) + i], (word / 512 + 0.5) / 8388608)
              << width << ", " << t << ", " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace pointwork::test
