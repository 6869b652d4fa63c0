#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "pointwork/kernels/choose.h"
#include "pointwork/kernels/parallel.h"
#include "pointwork/kernels/rows.h"

namespace pointwork::kernels::cpu {
namespace {

bool may_choose(const uint8_t* valid, int64_t row) { return !valid || valid[row]; }

// Ascending keys are descending scores, then ascending rows: one integer comparison, no ties.
uint64_t key_of(float score, int64_t row) {
  const uint32_t word = std::bit_cast<uint32_t>(score + 0.0f);  // + 0 makes −0 equal 0
  const uint32_t ascending = word & 0x80000000u ? ~word : word | 0x80000000u;
  return static_cast<uint64_t>(~ascending) << 32 | static_cast<uint32_t>(row);
}

int64_t row_of(uint64_t key) { return static_cast<int64_t>(key & 0xFFFFFFFFu); }

int64_t first_nan(const float* score, int64_t rows, const uint8_t* valid) {
  // A branch-free pass first: NaN is rare.
  int any = 0;
#pragma omp simd reduction(| : any)
  for (int64_t t = 0; t < rows; ++t) any |= score[t] != score[t];
  if (!any) return -1;
  for (int64_t t = 0; t < rows; ++t) {
    if (std::isnan(score[t]) && may_choose(valid, t)) return t;
  }
  return -1;
}

void keys_of_segment(const float* score, int64_t begin, int64_t end, const uint8_t* valid,
                     std::vector<uint64_t>& keys) {
  keys.clear();
  for (int64_t t = begin; t < end; ++t) {
    if (may_choose(valid, t)) keys.push_back(key_of(score[t], t));
  }
}

}  // namespace

int64_t top_rows(const float* score, const int32_t* start, int64_t segments, const uint8_t* valid,
                 const int32_t* count, int64_t each, int32_t* token) {
  if (segments == 0) return -1;
  const int64_t rows = start[segments] - start[0];
  const int64_t nan = first_nan(score + start[0], rows, valid ? valid + start[0] : nullptr);
  if (nan >= 0) return nan + start[0];

#pragma omp parallel if (segments > 1 && worth_threads(8 * rows))
  {
    std::vector<uint64_t> keys;
#pragma omp for schedule(static)
    for (int64_t b = 0; b < segments; ++b) {
      keys_of_segment(score, start[b], start[b + 1], valid, keys);
      const int64_t wanted = std::clamp<int64_t>(count[b], 0, each);
      const int64_t taken = std::min<int64_t>(wanted, static_cast<int64_t>(keys.size()));
      int32_t* to = token + b * each;
      std::fill(to + taken, to + each, kEmpty);
      if (taken == 0) continue;
      // The keys stand in row order until nth_element, which is given its own last key to find.
      std::vector<uint64_t> ranked = keys;
      std::nth_element(ranked.begin(), ranked.begin() + (taken - 1), ranked.end());
      const uint64_t last = ranked[static_cast<size_t>(taken - 1)];
      for (const uint64_t key : keys) {
        if (key <= last) *to++ = static_cast<int32_t>(row_of(key));
      }
    }
  }
  return -1;
}

int64_t rows_above(const float* decision, int64_t rows, float threshold, const uint8_t* valid,
                   int32_t* token) {
  int64_t count = 0;
  for (int64_t t = 0; t < rows; ++t) {
    token[count] = static_cast<int32_t>(t);
    count += decision[t] > threshold && may_choose(valid, t);
  }
  return count;
}

int64_t kth_score(const float* score, const int32_t* start, int64_t segments, const uint8_t* valid,
                  const int32_t* rank, float* value) {
  if (segments == 0) return -1;
  const int64_t rows = start[segments] - start[0];
  const int64_t nan = first_nan(score + start[0], rows, valid ? valid + start[0] : nullptr);
  if (nan >= 0) return nan + start[0];

  constexpr float kInfinity = std::numeric_limits<float>::infinity();
#pragma omp parallel if (segments > 1 && worth_threads(8 * rows))
  {
    std::vector<uint64_t> keys;
#pragma omp for schedule(static)
    for (int64_t b = 0; b < segments; ++b) {
      keys_of_segment(score, start[b], start[b + 1], valid, keys);
      const int64_t k = rank[b];
      if (k < 1 || k > static_cast<int64_t>(keys.size())) {
        value[b] = k < 1 ? kInfinity : -kInfinity;
        continue;
      }
      std::nth_element(keys.begin(), keys.begin() + (k - 1), keys.end());
      value[b] = score[row_of(keys[static_cast<size_t>(k - 1)])];
    }
  }
  return -1;
}

}  // namespace pointwork::kernels::cpu
