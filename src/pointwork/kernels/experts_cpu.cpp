#include <algorithm>
#include <bit>
#include <limits>
#include <utility>
#include <vector>

#include "pointwork/kernels/experts.h"
#include "pointwork/kernels/parallel.h"

namespace pointwork::kernels::cpu {
namespace {

constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();

// Integers in the order of the scores, NaN below −∞, and `kLeast` below every one of them.
int32_t key_of(float score) {
  const int32_t word = std::bit_cast<int32_t>(score + 0.0f);  // + 0 makes −0 equal 0
  const int32_t ordered = word < 0 ? word ^ std::numeric_limits<int32_t>::max() : word;
  return score == score ? ordered : kLeast + 1;
}

// Ascending keys are descending scores, then ascending places.
uint64_t descending_key(int32_t key, int64_t place) {
  const uint32_t ascending = static_cast<uint32_t>(key) ^ 0x80000000u;
  return static_cast<uint64_t>(~ascending) << 32 | static_cast<uint32_t>(place);
}

// A choice or two of few columns: whole passes in registers are faster than a branch a column.
constexpr int64_t kMostScans = 8;

void highest_by_scans(int32_t* key, int32_t columns, int64_t k, int32_t* column) {
  for (int64_t rank = 0; rank < k; ++rank) {
    int32_t best = kLeast, first = columns;
#pragma omp simd reduction(max : best)
    for (int32_t c = 0; c < columns; ++c) best = key[c] > best ? key[c] : best;
#pragma omp simd reduction(min : first)
    for (int32_t c = 0; c < columns; ++c) {
      const int32_t here = key[c] == best ? c : columns;
      first = here < first ? here : first;
    }
    column[rank] = first;
    key[first] = kLeast;
  }
}

void highest_by_sort(const int32_t* key, int64_t columns, int64_t k, std::vector<uint64_t>& ranked,
                     int32_t* column) {
  ranked.resize(static_cast<size_t>(columns));
  for (int64_t c = 0; c < columns; ++c) ranked[static_cast<size_t>(c)] = descending_key(key[c], c);
  if (k < columns) std::nth_element(ranked.begin(), ranked.begin() + (k - 1), ranked.end());
  std::sort(ranked.begin(), ranked.begin() + k);
  for (int64_t rank = 0; rank < k; ++rank)
    column[rank] = static_cast<int32_t>(ranked[static_cast<size_t>(rank)] & 0xFFFFFFFFu);
}

bool takes_slot(int32_t choice, int64_t experts) { return choice >= 0 && choice < experts; }

// count [experts] is 0 before.
void keep_first(const int32_t* choice, const KeepShape& shape, int64_t rows, int64_t* count,
                uint8_t* kept) {
  for (int64_t rank = 0; rank < shape.k; ++rank) {
    for (int64_t p = rank; p < rows * shape.k; p += shape.k) {
      const int32_t expert = choice[p];
      kept[p] = takes_slot(expert, shape.experts) && count[expert]++ < shape.capacity;
    }
  }
}

// One expert's pairs, by rank and row: all of the lower ranks have room, none of the higher, and
// where the capacity ends within a rank the heaviest do.
void keep_heaviest_of(const int32_t* pair, int64_t pairs, const float* weight,
                      const KeepShape& shape, std::vector<uint64_t>& ranked, uint8_t* kept) {
  for (int64_t i = 0; i < std::min(pairs, shape.capacity); ++i) kept[pair[i]] = 1;
  if (pairs <= shape.capacity || shape.capacity == 0) return;
  const auto rank_of = [&](int64_t i) { return pair[i] % shape.k; };
  const int64_t rank = rank_of(shape.capacity);
  int64_t first = shape.capacity, last = shape.capacity;
  while (first > 0 && rank_of(first - 1) == rank) --first;
  while (last < pairs && rank_of(last) == rank) ++last;
  if (first == shape.capacity) return;
  ranked.clear();
  for (int64_t i = first; i < last; ++i) {
    kept[pair[i]] = 0;
    ranked.push_back(descending_key(key_of(weight[pair[i]]), pair[i]));
  }
  const int64_t room = shape.capacity - first;
  std::nth_element(ranked.begin(), ranked.begin() + (room - 1), ranked.end());
  for (int64_t i = 0; i < room; ++i) kept[ranked[static_cast<size_t>(i)] & 0xFFFFFFFFu] = 1;
}

// count [experts] is 0 before.
void keep_heaviest(const int32_t* choice, const float* weight, const KeepShape& shape, int64_t rows,
                   int64_t* count, std::vector<int32_t>& pair, std::vector<uint64_t>& ranked,
                   uint8_t* kept) {
  const int64_t pairs = rows * shape.k;
  std::fill_n(kept, pairs, uint8_t{0});
  for (int64_t p = 0; p < pairs; ++p)
    if (takes_slot(choice[p], shape.experts)) ++count[choice[p]];
  int64_t first = 0;
  for (int64_t e = 0; e < shape.experts; ++e) first += std::exchange(count[e], first);
  pair.resize(static_cast<size_t>(first));
  for (int64_t rank = 0; rank < shape.k; ++rank) {
    for (int64_t p = rank; p < pairs; p += shape.k)
      if (takes_slot(choice[p], shape.experts))
        pair[static_cast<size_t>(count[choice[p]]++)] = static_cast<int32_t>(p);
  }
  first = 0;
  for (int64_t e = 0; e < shape.experts; ++e) {  // count holds the ends by now
    keep_heaviest_of(pair.data() + first, count[e] - first, weight, shape, ranked, kept);
    first = count[e];
  }
}

}  // namespace

void highest_columns(const float* score, int64_t rows, int64_t columns, int64_t k,
                     const uint8_t* valid, int32_t* column) {
#pragma omp parallel if (worth_threads(rows * columns))
  {
    std::vector<int32_t> key(static_cast<size_t>(columns));
    std::vector<uint64_t> ranked;
#pragma omp for schedule(static)
    for (int64_t t = 0; t < rows; ++t) {
      int32_t* to = column + t * k;
      if (valid && !valid[t]) {
        std::fill_n(to, k, -1);
        continue;
      }
      const float* from = score + t * columns;
      int32_t* keys = key.data();
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) keys[c] = key_of(from[c]);
      if (k <= kMostScans) {
        highest_by_scans(keys, static_cast<int32_t>(columns), k, to);
      } else {
        highest_by_sort(keys, columns, k, ranked, to);
      }
    }
  }
}

void keep_pairs(const int32_t* choice, const float* weight, const KeepShape& shape, uint8_t* kept) {
  const int64_t groups = (shape.rows + shape.group - 1) / shape.group;
#pragma omp parallel if (groups > 1 && worth_threads(shape.rows * shape.k))
  {
    std::vector<int64_t> count(static_cast<size_t>(shape.experts));
    std::vector<int32_t> pair;
    std::vector<uint64_t> ranked;
#pragma omp for schedule(static)
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t row = g * shape.group, at = row * shape.k;
      const int64_t rows = std::min(shape.group, shape.rows - row);
      std::fill(count.begin(), count.end(), 0);
      if (weight) {
        keep_heaviest(choice + at, weight + at, shape, rows, count.data(), pair, ranked, kept + at);
      } else {
        keep_first(choice + at, shape, rows, count.data(), kept + at);
      }
    }
  }
}

int64_t sort_pairs(const int32_t* choice, const uint8_t* kept, int64_t pairs, int64_t experts,
                   int64_t slots, int32_t* pair, int32_t* offset) {
  const auto sorted = [&](int64_t p) {
    return takes_slot(choice[p], experts) && (!kept || kept[p]);
  };
  std::fill_n(offset, experts + 1, 0);
  for (int64_t p = 0; p < pairs; ++p)
    if (sorted(p)) ++offset[choice[p]];
  // Ends of the experts' runs; filling from the last pair down turns them into starts.
  int32_t filled = 0;
  for (int64_t e = 0; e < experts; ++e) {
    filled += offset[e];
    offset[e] = filled;
  }
  offset[experts] = filled;
  if (filled > slots) return filled;
  for (int64_t p = pairs - 1; p >= 0; --p)
    if (sorted(p)) pair[--offset[choice[p]]] = static_cast<int32_t>(p);
  std::fill(pair + filled, pair + slots, -1);
  return filled;
}

}  // namespace pointwork::kernels::cpu
