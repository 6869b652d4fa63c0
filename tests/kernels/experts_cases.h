#pragma once
// Choices of tokens, for the tests of kernels and of ops.

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/kernels/experts.h"
#include "tests/kernels/cases.h"

namespace pointwork::test {

// Scores of which columns are chosen.
struct ColumnsCase {
  std::string name;
  int64_t rows, columns, k;
  std::vector<float> score;
  std::vector<uint8_t> valid;  // or empty
};

inline std::vector<ColumnsCase> columns_cases() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  std::vector<ColumnsCase> cases;
  for (const int64_t rows : kSizes) {
    for (const int64_t columns : {1, 2, 7, 8, 64, 67}) {
      for (const int64_t k : {int64_t{1}, int64_t{2}, int64_t{9}, columns}) {
        if (k > columns || (k > 9 && rows > 129)) continue;
        ColumnsCase plain{concat(rows, " rows, ", k, " of ", columns), rows, columns, k,
                          random_values<float>(rows * columns, 5),     {}};
        ColumnsCase ties = plain, odd = plain;
        ties.name += ", ties";
        odd.name += ", no numbers";
        for (float& x : ties.score) x = x > 1 ? 1.0f : (x > 0 ? 0.0f : -0.0f);
        for (size_t i = 0; i < odd.score.size(); ++i) {
          const double u = random_uniform(6, i);
          if (u < 0.4) odd.score[i] = u < 0.1 ? kInfinity : (u < 0.2 ? -kInfinity : kNan);
          if (u > 0.95) odd.score[i] = -kNan;
        }
        for (int64_t t = 0; t < rows; ++t) odd.valid.push_back(t % 3 != 1);
        cases.insert(cases.end(), {plain, ties, odd});
      }
    }
  }
  return cases;
}

// Choices that meet a capacity.
struct PairsCase {
  std::string name;
  kernels::cpu::KeepShape shape;
  std::vector<int32_t> choice;
  std::vector<float> weight;  // with ties and values that are no number
};

inline std::vector<PairsCase> pairs_cases() {
  struct Kind {
    const char* name;
    int64_t k, experts, noop;
    int32_t only, never;  // -1: of none is that so
  };
  const std::vector<Kind> kinds = {{"top 1", 1, 8, 0, -1, -1},
                                   {"top 2 and no-ops", 2, 5, 3, -1, -1},
                                   {"k = E", 3, 3, 0, -1, -1},
                                   {"one expert is chosen by none", 2, 4, 0, -1, 2},
                                   {"one expert by all", 1, 4, 0, 3, -1},
                                   {"only a no-op", 1, 4, 2, 5, -1},
                                   {"one expert there is", 1, 1, 0, -1, -1}};
  std::vector<PairsCase> cases;
  uint64_t seed = 0;
  for (const int64_t rows : kSizes) {
    for (const Kind& kind : kinds) {
      for (const int64_t group : {rows, (rows + 2) / 3, int64_t{32}}) {
        for (const int64_t capacity : {int64_t{0}, int64_t{1}, rows / 5 + 1, rows * kind.k}) {
          PairsCase made{
              concat(kind.name, ": ", rows, " rows, groups of ", group, ", capacity ", capacity),
              {rows, kind.k, kind.experts, group, capacity},
              {},
              {}};
          ++seed;
          const int64_t choices = kind.experts + kind.noop;
          for (int64_t t = 0; t < rows; ++t) {
            std::vector<int32_t> taken;
            for (uint64_t draw = 0; static_cast<int64_t>(taken.size()) < kind.k; ++draw) {
              const uint64_t at = static_cast<uint64_t>(t) << 20 | draw;
              // The minimum of two draws: low experts are full first.
              const auto of = static_cast<uint64_t>(choices);
              auto c = static_cast<int32_t>(
                  std::min(random_below(of, seed, at), random_below(of, seed, at, 1)));
              if (kind.only >= 0) c = kind.only;
              if (c == kind.never || std::count(taken.begin(), taken.end(), c)) continue;
              taken.push_back(c);
            }
            if (t % 11 == 4) taken.assign(taken.size(), -1);
            if (t % 11 == 7) taken.back() = -1;
            made.choice.insert(made.choice.end(), taken.begin(), taken.end());
          }
          for (const float x : random_values<float>(rows * kind.k, seed + 1000))
            made.weight.push_back(x > 2 ? std::numeric_limits<float>::quiet_NaN()
                                        : (x > 1 ? 1.0f : (std::abs(x) < 0.1f ? 0.0f * x : x)));
          cases.push_back(std::move(made));
        }
      }
    }
  }
  return cases;
}

}  // namespace pointwork::test
