#pragma once
// Which rows have the highest scores. Row numbers are int32; segment b owns rows start[b] ..
// start[b + 1].
//
// Equal scores (−0 equals 0) go to the lower row. valid [rows] (0: may not be chosen) or null.

#include <cstdint>

namespace pointwork::kernels::cpu {

// The count[b] highest valid rows of each segment, or all where it has fewer, ascending; then
// kEmpty. count [segments] is clamped to 0 .. each. → token [segments · each]. Linear in rows.
// Returns the first valid row whose score is NaN, token then not written, else −1.
int64_t top_rows(const float* score, const int32_t* start, int64_t segments, const uint8_t* valid,
                 const int32_t* count, int64_t each, int32_t* token);

// Valid rows with decision > threshold, ascending (NaN is not above). token [rows], of which the
// count returned is written.
int64_t rows_above(const float* decision, int64_t rows, float threshold, const uint8_t* valid,
                   int32_t* token);

// The rank[b]-th highest score (1: the highest) among the valid rows of each segment: +∞ where
// rank[b] < 1, −∞ where it has fewer rows. rank [segments] → value [segments]. Returns the first
// valid row whose score is NaN, value then not written, else −1.
int64_t kth_score(const float* score, const int32_t* start, int64_t segments, const uint8_t* valid,
                  const int32_t* rank, float* value);

}  // namespace pointwork::kernels::cpu
