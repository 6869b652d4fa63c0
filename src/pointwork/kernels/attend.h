#pragma once
// Attention of a few new rows over ragged caches: decoding.

#include <cstdint>

namespace pointwork::kernels::cpu {

// out[t, h] = Σ_j softmax_j(scale · ⟨query[t, h], key[j, h / (heads / kv_heads)]⟩) value[j, …] over
// the first visible[t] entries of the cache of sequence[t]. query, out [rows, heads, head_dim]
// contiguous; key[b], value[b] [entries, kv_heads, head_dim] contiguous; heads a multiple of
// kv_heads; sequence, visible [rows]. A row that sees nothing gives 0. A row's result depends on
// its own query and cache alone.
template <class T>
void attend(const T* query, int64_t rows, int64_t heads, int64_t kv_heads, int64_t head_dim,
            const int32_t* sequence, const int32_t* visible, const T* const* key,
            const T* const* value, double scale, T* out);

}  // namespace pointwork::kernels::cpu
