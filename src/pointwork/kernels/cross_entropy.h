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

}  // namespace pointwork::kernels::cpu
