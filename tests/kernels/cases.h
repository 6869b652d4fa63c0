#pragma once
// One list of cases for tests and benchmarks.

#include <cstdint>
#include <string>
#include <vector>

#include "pointwork/base/rng.h"
#include "pointwork/kernels/bfloat16.h"
#include "pointwork/kernels/rows.h"

namespace pointwork::test {

// Around the widths of registers and blocks.
inline const std::vector<int64_t> kSizes = {1, 3, 31, 32, 33, 127, 128, 129, 1000};

// N(0, spread²), rounded to T.
template <class T>
std::vector<T> random_values(int64_t count, uint64_t seed, double spread = 1) {
  std::vector<T> values;
  values.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const double value = spread * random_normal(seed, static_cast<uint64_t>(i));
    if constexpr (std::is_same_v<T, double>) {
      values.push_back(value);
    } else {
      values.push_back(static_cast<T>(static_cast<float>(value)));
    }
  }
  return values;
}

template <class T>
std::vector<double> widened(const std::vector<T>& values) {
  std::vector<double> wide;
  for (const T& value : values) {
    if constexpr (std::is_same_v<T, double>) {
      wide.push_back(value);
    } else {
      wide.push_back(static_cast<float>(value));
    }
  }
  return wide;
}

// Which row each slot holds.
struct RouteCase {
  std::string name;
  int64_t rows;
  std::vector<int32_t> token;
};

inline std::vector<RouteCase> route_cases() {
  std::vector<RouteCase> cases;
  for (const int64_t rows : kSizes) {
    const auto name = [&](const char* what) {
      return std::string(what) + " of " + std::to_string(rows);
    };
    RouteCase none{name("no slot"), rows, {}}, dropped{name("all dropped"), rows, {}},
        all{name("all rows"), rows, {}};
    RouteCase some{name("some rows"), rows, {}}, one{name("all to one row"), rows, {}},
        many{name("any rows"), rows, {}};
    for (int32_t t = 0; t < rows; ++t) {
      const auto n = static_cast<uint64_t>(t);
      dropped.token.push_back(kernels::kEmpty);
      all.token.push_back(t);
      if (random_uniform(7, n) < 0.125) some.token.push_back(t);
      one.token.push_back(static_cast<int32_t>(rows / 2));
      for (uint64_t k = 0; k < 2; ++k) {
        many.token.push_back(
            static_cast<int32_t>(random_below(static_cast<uint64_t>(rows) + 1, 9, n, k)) - 1);
      }
    }
    some.token.resize(some.token.size() + 2, kernels::kEmpty);
    cases.insert(cases.end(), {none, dropped, all, some, one, many});
  }
  return cases;
}

// Scores of several sequences.
struct ChoiceCase {
  std::string name;
  std::vector<float> score;
  std::vector<int32_t> start;
  std::vector<uint8_t> valid;  // or empty
  std::vector<int32_t> count;
  int64_t each;
};

inline std::vector<ChoiceCase> choice_cases() {
  std::vector<ChoiceCase> cases;
  for (const int64_t length : kSizes) {
    const auto l = static_cast<int32_t>(length);
    const int32_t eighth = (l + 7) / 8;
    ChoiceCase plain{"plain " + std::to_string(length),
                     random_values<float>(3 * length, 11),
                     {0, l, 2 * l, 3 * l},
                     {},
                     {},
                     0};
    const auto with = [&](const char* name, int64_t each, std::vector<int32_t> count) {
      ChoiceCase made = plain;
      made.name = std::string(name) + " " + std::to_string(length);
      made.each = each;
      made.count = std::move(count);
      return made;
    };
    ChoiceCase ties = with("ties", eighth, {eighth, eighth, eighth});
    for (float& score : ties.score) score = score > 0 ? 1.0f : (score > -0.5f ? 0.0f : -0.0f);
    ChoiceCase masked = with("masked", length, {eighth, l, l});
    for (int64_t t = 0; t < 3 * length; ++t)
      masked.valid.push_back(t < 2 * length && random_uniform(13, static_cast<uint64_t>(t)) < 0.5);
    ChoiceCase ragged = with("ragged", eighth + 1, {1, eighth, 0});
    ragged.start = {0, l / 3, l / 3, 3 * l};
    cases.insert(cases.end(),
                 {with("eighth", eighth, {eighth, eighth, eighth}), with("none", 0, {0, 0, 0}),
                  with("all", length, {l, l, l}),
                  with("more than all", length + 2, {l + 1, l + 9, -1}), ties, masked, ragged});
  }
  return cases;
}

}  // namespace pointwork::test
