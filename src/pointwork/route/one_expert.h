#pragma once
// Token choice among one expert and no-ops: who chose the expert enters, sequence by sequence. With
// a capacity this is Mixture-of-Depths by token choice.

#include "pointwork/route/context.h"
#include "pointwork/route/token_choice.h"

namespace pointwork {

// choice int32 [T, k], weight float32 [T, k]. In training a sequence has groups.capacity slots (0:
// as many as rows), kept by config.priority; at inference those that are filled. Slots stand by
// sequence, rows ascending.
Route choose_one_expert(const TokenChoiceConfig& config, const Tensor& choice, const Tensor& weight,
                        const Context& ctx, const CapacityGroups& groups);

}  // namespace pointwork
