#pragma once
// What training minimises: the language model's loss, and those of routers beside it.

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
  Tensor soft_sum;  // float64 []  undefined without a teacher
  std::vector<Route> routes;
};

// total = cross-entropy + Σ over routed branches of Router::loss: the causal decision's, or balance
// and z of token choice (whose layers may be averaged instead). With a teacher the cross-entropy is
// that of cross_entropy() beside it.
Losses compute_losses(Model& model, const BatchTensors& batch, Context& ctx, double z_loss,
                      const TaughtBy* teacher = nullptr);

}  // namespace pointwork
