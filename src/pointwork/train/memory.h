#pragma once
// What a training run will hold in memory, from the config and the batch shape alone.

#include "pointwork/model/model.h"

namespace pointwork {

struct MemoryEstimate {
  double weights = 0;      // as the model computes with them
  double optimizer = 0;    // moments, masters, gradients
  double activations = 0;  // kept for the backward pass
  double head = 0;         // chunk of logits, gradients of hidden rows and head
  double teacher = 0;      // its weights and its hidden rows
  double slack = 0;        // in kept blocks that are larger than what lies in them
  double library = 0;      // LibTorch and its threads
  double total() const {
    return weights + optimizer + activations + head + teacher + slack + library;
  }
};

// Peak bytes of a training step, mapped files not counted. The teacher speaks first, when no
// activation of the student's is there yet.
MemoryEstimate training_memory(const Model& model, const Model* teacher = nullptr);

}  // namespace pointwork
