#pragma once
// Rotary position embedding (RoFormer, arXiv:2104.09864, eq. 34), halves of a head rotated against
// each other as in GPT-NeoX and Llama.

#include <cstdint>
#include <span>
#include <vector>

namespace pointwork::kernels::cpu {

// theta^(−2i / dims), i below dims / 2.
std::vector<double> rope_frequencies(int64_t dims, double theta);

// Cosines, then sines, of position · frequency[i], computed in double: float [positions, dims],
// dims = 2 · frequency.size(), row p = cos [dims / 2], sin [dims / 2].
std::vector<float> rope_table(int64_t positions, std::span<const double> frequency);
inline std::vector<float> rope_table(int64_t positions, int64_t dims, double theta) {
  return rope_table(positions, rope_frequencies(dims, theta));
}

struct RopeShape {
  int64_t rows, heads, head_dim;
  int64_t dims;            // leading elements of a head that are rotated: even, at most head_dim
  int64_t row_stride;      // elements from row to row of x; heads stand head_dim apart
  int64_t out_row_stride;  // of out
};

// With c, s the table's row of position[t]: (a, b) → (a·c − b·s, b·c + a·s), a the first and b the
// second half of the rotated elements; the others are copied. inverse: s → −s, which is also the
// gradient. x, out [rows, heads, head_dim]; out may be x (then at the same stride). Positions must
// be below the table's. T is float, double or BFloat16.
template <class T>
void rotate(const T* x, const int32_t* position, const float* table, const RopeShape& shape,
            bool inverse, T* out);

}  // namespace pointwork::kernels::cpu
