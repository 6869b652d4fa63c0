#pragma once
// Softmax cross-entropy and its gradient in one visit of each row of logits.

#include <cstdint>

namespace pointwork::kernels::cpu {

// loss = lse − logit[target], grad = scale · (softmax · (1 + 2 · z_weight · lse) − onehot(target)).
// logits [rows, vocab] at `stride` elements a row, target [rows] (negative: ignored) → grad at the
// same stride (may be logits; null: none), loss [rows] (without scale and z-loss), lse [rows] = log
// Σ exp, argmax [rows] or null (ties to the lower id). An ignored row has grad, loss and lse 0 and
// argmax −1. NaN or +∞ among a row's logits makes its loss and grad NaN. T is float, double or
// BFloat16. Results depend on no thread count.
template <class T>
void cross_entropy_rows(const T* logits, int64_t stride, int64_t rows, int64_t vocab,
                        const int32_t* target, float scale, float z_weight, T* grad, float* loss,
                        float* lse, int32_t* argmax);

// How the two losses of a row that is taught weigh.
struct TaughtWeights {
  double scale = 1;        // of the gradient
  double hard = 1;         // of the loss against the target
  double soft = 0;         // of the loss against the teacher
  double temperature = 1;  // τ
  double z = 0;            // of lse²
};

// Distillation (arXiv:1503.02531; Switch §4.2). p, p_τ and q are the softmax of logits, of logits /
// τ and of teacher / τ:
//   loss = lse − logit[target], soft = −Σ q · log p_τ,
//   grad = scale · (hard · (p − onehot(target)) + 2 · z · lse · p + soft_weight · τ · (p_τ − q)),
// the gradient of hard · loss + z · lse² + soft_weight · τ² · soft. Shapes, ignored rows and NaN as
// above; teacher [rows, vocab] at the same stride, where NaN or +∞ make soft and grad NaN.
template <class T>
void taught_cross_entropy_rows(const T* logits, const T* teacher, int64_t stride, int64_t rows,
                               int64_t vocab, const int32_t* target, TaughtWeights weights, T* grad,
                               float* loss, float* soft, float* lse);

}  // namespace pointwork::kernels::cpu
