#pragma once
// What a training run will hold in memory, from the config and the batch shape alone.

#include "pointwork/model/model.h"

namespace pointwork {

struct MemoryEstimate {
  double weights = 0;      // as the model computes with them
  double optimizer = 0;    // moments, masters, gradients
  double activations = 0;  // kept for the backward pass
  double head = 0;         // chunk of logits, gradients of hidden rows and head
  double slack = 0;        // in kept blocks that are larger than what lies in them
  double library = 0;      // LibTorch and its threads
  double total() const { return weights + optimizer + activations + head + slack + library; }
};

// Peak bytes of a training step, mapped files not counted.
MemoryEstimate training_memory(const Model& model);

}  // namespace pointwork
