#include "pointwork/kernels/attend.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "tests/kernels/tolerance.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

template <class T>
class Attend : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(Attend, Types);

template <class T>
struct Caches {
  std::vector<std::vector<T>> key, value;
};

struct Case {
  int64_t heads, kv_heads, head_dim;
  std::vector<int32_t> sequence, visible;
  double spread;  // of queries and keys
};

std::string label(const Case& c) {
  std::string made = std::to_string(c.heads) + " heads, " + std::to_string(c.kv_heads) +
                     " key-value heads of " + std::to_string(c.head_dim) + ", spread " +
                     std::to_string(c.spread) + ", seeing";
  for (const int32_t count : c.visible) made += ' ' + std::to_string(count);
  return made;
}

std::vector<Case> cases() {
  std::vector<Case> made;
  for (const int64_t visible : kSizes) {
    const auto v = static_cast<int32_t>(visible);
    made.push_back({4, 2, 32, {0}, {v}, 1});
    // A chunk of one sequence, then rows of others; one sees nothing.
    made.push_back({2, 1, 16, {0, 0, 0, 2, 1}, {v - 1, v, v + 1, v, 0}, 1});
  }
  for (const int64_t head_dim : {1, 3, 7, 8, 9, 31, 64, 65, 128}) {
    made.push_back({6, 2, head_dim, {1, 0}, {70, 129}, 1});
  }
  for (const int64_t kv_heads : {1, 4, 8}) made.push_back({8, kv_heads, 24, {0}, {200}, 1});
  made.push_back({4, 4, 32, {0, 1}, {300, 64}, 8});     // nearly one-hot
  made.push_back({4, 4, 32, {0, 1}, {300, 64}, 1e-3});  // nearly uniform
  made.push_back({4, 2, 8, {}, {}, 1});
  return made;
}

template <class T>
Caches<T> caches(const Case& c) {
  Caches<T> made;
  for (int32_t b = 0; b < 3; ++b) {
    int64_t entries = 0;
    for (size_t t = 0; t < c.sequence.size(); ++t)
      if (c.sequence[t] == b) entries = std::max<int64_t>(entries, c.visible[t]);
    // Entries beyond those visible must not be read into any result.
    const int64_t count = entries * c.kv_heads * c.head_dim;
    auto key = random_values<T>(count, 10 + static_cast<uint64_t>(b), c.spread);
    auto value = random_values<T>(count, 20 + static_cast<uint64_t>(b));
    const T nan(std::numeric_limits<float>::quiet_NaN());
    key.insert(key.end(), 2 * static_cast<size_t>(c.kv_heads * c.head_dim), nan);
    value.insert(value.end(), 2 * static_cast<size_t>(c.kv_heads * c.head_dim), nan);
    made.key.push_back(std::move(key));
    made.value.push_back(std::move(value));
  }
  return made;
}

template <class T>
std::vector<T> run(const Case& c, const std::vector<T>& query, const Caches<T>& cache,
                   double scale) {
  std::vector<const T*> key, value;
  for (const auto& k : cache.key) key.push_back(k.data());
  for (const auto& v : cache.value) value.push_back(v.data());
  std::vector<T> out(query.size(), T(7.0f));
  cpu::attend(query.data(), static_cast<int64_t>(c.sequence.size()), c.heads, c.kv_heads,
              c.head_dim, c.sequence.data(), c.visible.data(), key.data(), value.data(), scale,
              out.data());
  return out;
}

template <class T>
std::vector<T> queries(const Case& c) {
  return random_values<T>(static_cast<int64_t>(c.sequence.size()) * c.heads * c.head_dim, 1,
                          c.spread);
}

double scale_of(const Case& c) { return 1 / std::sqrt(static_cast<double>(c.head_dim)); }

TYPED_TEST(Attend, EqualsReference) {
  using T = TypeParam;
  for (const Case& c : cases()) {
    const auto query = queries<T>(c);
    const auto cache = caches<T>(c);
    const auto out = run(c, query, cache, scale_of(c));
    std::vector<std::vector<double>> key, value;
    for (const auto& k : cache.key) key.push_back(widened(k));
    for (const auto& v : cache.value) value.push_back(widened(v));
    const auto want = reference::attend(widened(query), {c.heads, c.kv_heads, c.head_dim},
                                        c.sequence, c.visible, key, value, scale_of(c));
    int64_t longest = c.head_dim;
    for (const int32_t count : c.visible) longest = std::max<int64_t>(longest, count);
    expect_close(label(c), out, want, static_cast<double>(longest), kEpsilon<T>);
  }
}

// Rows alone, together and on any number of threads: the same bits.
TYPED_TEST(Attend, ARowDependsOnItsOwnCacheAlone) {
  using T = TypeParam;
  const Case c{8, 2, 64, {0, 0, 1, 2, 2, 0}, {100, 101, 400, 7, 0, 333}, 1};
  const auto query = queries<T>(c);
  const auto cache = caches<T>(c);
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  const auto together = widened(run(c, query, cache, scale_of(c)));
  omp_set_num_threads(1);
  const auto width = c.heads * c.head_dim;
  for (size_t t = 0; t < c.sequence.size(); ++t) {
    const Case alone{c.heads, c.kv_heads, c.head_dim, {c.sequence[t]}, {c.visible[t]}, 1};
    const auto first = static_cast<int64_t>(t) * width;
    const std::vector<T> own(query.begin() + first, query.begin() + first + width);
    EXPECT_EQ(widened(run(alone, own, cache, scale_of(c))),
              std::vector<double>(together.begin() + first, together.begin() + first + width))
        << "row " << t;
  }
  omp_set_num_threads(before);
}

TEST(Attend, ScoresFarApartDoNotOverflow) {
  const Case c{1, 1, 8, {0}, {70}, 1};
  const std::vector<float> query(8, 1e4f);
  Caches<float> cache{{std::vector<float>(70 * 8, -1e4f)}, {std::vector<float>(70 * 8, 2.0f)}};
  std::fill_n(cache.key[0].begin() + 69 * 8, 8, 1e4f);
  std::fill_n(cache.value[0].begin() + 69 * 8, 8, 5.0f);
  EXPECT_EQ(run(c, query, cache, 1.0f), std::vector<float>(8, 5.0f));
}

// In whichever block it stands, what is no number shows in its own head and nowhere else.
TEST(Attend, NotANumberShowsInItsHeadAlone) {
  const Case c{2, 2, 8, {0}, {130}, 1};
  const auto query = queries<float>(c);
  const auto clean = caches<float>(c);
  const auto want = run(c, query, clean, 1.0f);
  for (const int64_t entry : {0, 5, 63, 64, 127, 128, 129}) {
    for (const bool in_key : {true, false}) {
      auto cache = clean;
      auto& spoiled = in_key ? cache.key[0] : cache.value[0];
      std::fill_n(spoiled.begin() + entry * 16 + 8, 8, std::numeric_limits<float>::quiet_NaN());
      const auto out = run(c, query, cache, 1.0f);
      for (size_t i = 0; i < 8; ++i) EXPECT_EQ(out[i], want[i]) << entry;
      for (size_t i = 8; i < 16; ++i) EXPECT_TRUE(std::isnan(out[i])) << entry << ", " << in_key;
    }
  }
}

}  // namespace
}  // namespace pointwork::test
