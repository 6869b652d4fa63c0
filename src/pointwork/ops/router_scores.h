#pragma once
// A router's products with the rows it reads, in float32 whatever the stream's type.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// Noise on a router's copy of its input, as random_rows() draws it: a pure function of the rows.
struct InputNoise {
  enum class Kind { none, jitter, dropout } kind = Kind::none;
  double amount =
      0;  // jitter: each value times a uniform of 1 ± amount; dropout: a share that is 0
  uint64_t key = 0;     // stream
  Tensor position;      // int32 [T]
  Tensor sequence;      // int32 [T]
  Tensor sequence_key;  // int64 [B], on the CPU
};

// x̃ Wᵀ (+ bias), x̃ = x in float32 (float64 for float64 inputs) with noise. For the backward pass it
// keeps x and W alone: the wide copy and the noise are made once more. x [T, D], weight [M, D],
// bias [M] or undefined → [T, M]
Tensor router_product(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const InputNoise& noise = {});

// A router's logits: the same without bias. weight [E, D] → [T, E]
Tensor router_scores(const Tensor& x, const Tensor& weight, const InputNoise& noise = {});

}  // namespace pointwork
