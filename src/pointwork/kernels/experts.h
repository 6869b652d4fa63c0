#pragma once
// Token choice: a pair is one choice of one row, p = row · k + rank. A choice is an expert below
// `experts`, or a no-op from there on, or below 0 none.
//
// NaN ranks lowest, −0 equals 0. Everything is linear in its input and depends on no thread count.

#include <cstdint>

namespace pointwork::kernels::cpu {

// The k ≤ columns highest columns of each row, highest first, ties to the lower column; all -1
// where a row is not valid. score [rows, columns], valid [rows] (0: no) or null → column [rows, k]
void highest_columns(const float* score, int64_t rows, int64_t columns, int64_t k,
                     const uint8_t* valid, int32_t* column);

struct KeepShape {
  int64_t rows, k;
  int64_t experts;
  int64_t group;     // rows of a group, above 0; the last may be shorter
  int64_t capacity;  // pairs an expert keeps in each group
};

// Which pairs of each group find room: first choices before second ones, and so on; among those of
// a rank the lower row, or with a weight the heavier pair, ties to the lower row. choice [rows, k],
// weight [rows, k] or null → kept [rows, k]. Linear in pairs and groups · experts.
void keep_pairs(const int32_t* choice, const float* weight, const KeepShape& shape, uint8_t* kept);

// Pairs of experts that are kept (kept [pairs], or null: all) in order of experts, then of pairs.
// choice [pairs] → pair [slots], -1 at the tail; offset [experts + 1]. Returns how many there are;
// if they are more than `slots`, `pair` is not written.
int64_t sort_pairs(const int32_t* choice, const uint8_t* kept, int64_t pairs, int64_t experts,
                   int64_t slots, int32_t* pair, int32_t* offset);

}  // namespace pointwork::kernels::cpu
