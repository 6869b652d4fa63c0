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

// A teacher beside the targets: it adds soft_weight · τ² · H(q, p_τ), where q and p_τ are the
// softmax of its logits and ours over τ (arXiv:1503.02531; Switch §4.2). Neither is stored whole.
struct TaughtBy {
  Tensor hidden;  // [T, D'] of the teacher's own width, in our type; no gradient reaches it
  Tensor head;    // [V, D']
  double temperature = 1;  // τ
  double hard_weight = 0.75, soft_weight = 0.25;
};

struct CrossEntropyResult {
  Tensor loss;  // float32 []  differentiable: mean over targets of −log p, plus the z-loss where
                // it is on; with a teacher −log p times hard_weight, and the soft loss
  Tensor language;  // float32 []  without a teacher's part and weights: no gradient
  Tensor nll_sum;   // float64 []  Σ −log p, without z-loss
  Tensor count;     // int64 []    targets that count
  Tensor soft_sum;  // float64 []  Σ H(q, p_τ) over the same rows; undefined without a teacher
};

// hidden [T, D], head [V, D], target int32 [T] (−1: ignored, by the soft loss too). With no target
// at all the loss is 0.
CrossEntropyResult cross_entropy(const Tensor& hidden, const Tensor& head, const Tensor& target,
                                 CrossEntropyOptions options = {},
                                 const TaughtBy* teacher = nullptr);

}  // namespace pointwork
