#pragma once
// Random numbers of rows, each a pure function of what it is drawn for: base/rng.h in bulk.

#include <cstdint>

namespace pointwork::kernels::cpu {

struct RandomRows {
  uint64_t key;
  const int32_t* position;      // [rows]
  const int32_t* sequence;      // [rows]
  const int64_t* sequence_key;  // [any], by sequence
  const int32_t* first_column;  // [rows], multiples of 4, or null: 0
  int64_t rows, width;
};

// Uniform in (0, 1), never 0 or 1: 23 bits, centred. Column c = first_column[t] + i of row t is
// word c mod 4 of Philox 4x32-10 by `key` at the counter (position, c / 4, sequence key), so one
// call makes four columns. → out [rows, width]
void random_rows(const RandomRows& from, float* out);

}  // namespace pointwork::kernels::cpu
