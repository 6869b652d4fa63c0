#pragma once
// Whether the weights of a checkpoint of ours are those that its config asks for.

#include <functional>

#include "pointwork/checkpoint/checkpoint.h"

namespace pointwork {

// `use` gets each parameter and buffer of `model` with what the file has for it, mapped. Error
// naming the first tensor that is missing, has another shape or dtype, or that the model does not
// know.
void each_weight(const Checkpoint& checkpoint, Model& model,
                 const std::function<void(Tensor& target, const Tensor& source)>& use);

// The same for a model of the checkpoint's own config, of which no value is read or takes memory.
// The number of its parameters.
int64_t check_weights(const Checkpoint& checkpoint);

}  // namespace pointwork
