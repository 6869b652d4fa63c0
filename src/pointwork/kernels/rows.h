#pragma once
// dispatch and combine: rows gathered by slot, and slots added back to their rows.
//
// T is float, double or BFloat16; matrices are contiguous, row-major. token[s] is the row of slot s
// or kEmpty. Every sum runs over a row's slots in ascending order, so results depend on no thread
// count. Nothing is checked: indices must be in range.

#include <cstdint>

namespace pointwork::kernels {

// A slot that holds no token.
inline constexpr int32_t kEmpty = -1;

namespace cpu {

// out[s] = weight[s] · x[token[s]], 0 where empty. x [any, width], token [slots], weight [slots] or
// null (1) → out [slots, width]
template <class T>
void gather_rows(const T* x, const int32_t* token, const float* weight, T* out, int64_t slots,
                 int64_t width);

// out[t] = base[t] + Σ weight[s] · y[s] over the slots s of row t: row_slot[row_offset[t] ..
// row_offset[t + 1]]. base [rows, width] or null (0), y [any, width], weight [any] or null (1) →
// out [rows, width]. out may be base: rows without a slot are then neither read nor written, and
// the work is that of the filled slots.
template <class T>
void scatter_rows(const T* base, const T* y, const float* weight, const int32_t* row_offset,
                  const int32_t* row_slot, T* out, int64_t rows, int64_t width);

// Backward of a weighted combine in one pass: d_y[s] = weight[s] · d_out[token[s]], d_weight[s] =
// ⟨y[s], d_out[token[s]]⟩, both 0 where empty. d_out [any, width], y [slots, width], weight [slots]
// or null (1) → d_y [slots, width] (may be y), d_weight [slots]
template <class T>
void gather_dot_rows(const T* d_out, const T* y, const int32_t* token, const float* weight, T* d_y,
                     float* d_weight, int64_t slots, int64_t width);

// The transpose of `token` by counting sort: row_offset [rows + 1]; row_slot [slots], of which the
// filled slots, by row and ascending within a row, are written. Returns how many there are. Linear
// in slots + rows.
int64_t index_slots(const int32_t* token, int64_t slots, int64_t rows, int32_t* row_offset,
                    int32_t* row_slot);

}  // namespace cpu
}  // namespace pointwork::kernels
