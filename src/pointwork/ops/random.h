#pragma once
// Random numbers of rows: each a pure function of its row's sequence and position.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// Uniform in (0, 1), never 0 or 1: 23 bits, centred; by (key, sequence_key[sequence[t]],
// position[t], first_column[t] + column). position and sequence int32 [T]; sequence_key int64 [B],
// on the CPU; first_column int32 [T], multiples of 4, or undefined: 0 → float32 [T, width]
Tensor random_rows(uint64_t key, const Tensor& position, const Tensor& sequence,
                   const Tensor& sequence_key, int64_t width, const Tensor& first_column = {});

}  // namespace pointwork
