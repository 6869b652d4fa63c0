#pragma once
// The head and its loss in one: logits exist for one run of rows at a time and are never stored
// whole.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

struct CrossEntropyOptions {
  double z_loss = 0;               // weight of log²(partition)
  int64_t chunk_bytes = 32 << 20;  // of logits held at once
};

struct CrossEntropyResult {
  Tensor loss;     // float32 []  mean over targets of −log p, plus the z-loss where it is on:
                   // differentiable
  Tensor nll_sum;  // float64 []  Σ −log p, without z-loss
  Tensor count;    // int64 []    targets that count
};

// hidden [T, D], head [V, D], target int32 [T] (−1: ignored). With no target at all the loss is 0.
CrossEntropyResult cross_entropy(const Tensor& hidden, const Tensor& head, const Tensor& target,
                                 CrossEntropyOptions options = {});

}  // namespace pointwork
