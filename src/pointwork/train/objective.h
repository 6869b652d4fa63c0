#pragma once
// What training minimises: the language model's loss, and the causal decision's beside it.

#include "pointwork/data/batch.h"
#include "pointwork/model/model.h"
#include "pointwork/ops/cross_entropy.h"

namespace pointwork {

struct BatchTensors {
  Tensor input, target;  // int32 [T]
  Rows rows;
};

struct BatchOptions {
  bool document_mask = false;
};
BatchTensors to_tensors(const Batch& batch, torch::Device device, BatchOptions options = {});

struct Losses {
  Tensor total;     // float32 []  to differentiate
  Tensor language;  // float32 []  cross-entropy (and z-loss) alone
  Tensor nll_sum;   // float64 []
  Tensor count;     // int64 []
  std::vector<Route> routes;
};

// total = cross-entropy + Σ over routed blocks of the decision's loss: weighted by
// route.decode_loss_weight where the router itself decides, by 1 where a predictor does (whose
// input is a stopped gradient, so that nothing else feels it).
Losses compute_losses(Model& model, const BatchTensors& batch, Context& ctx, double z_loss);

}  // namespace pointwork
