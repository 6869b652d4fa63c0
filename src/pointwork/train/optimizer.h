#pragma once
// AdamW (Loshchilov and Hutter, arXiv:1711.05101) with clipping, and the guard that keeps a bad
// step from the weights.

#include <map>
#include <string>
#include <vector>

#include "pointwork/config/train_config.h"
#include "pointwork/model/model.h"

namespace pointwork {

// Stays on the device; reading a value waits for it.
struct UpdateResult {
  Tensor grad_norm;            // float32 []  of the language model's gradients, before clipping
  Tensor predictor_grad_norm;  // float32 []
  Tensor skipped;              // float32 []  1: nothing was updated
  Tensor skipped_in_row;       // float32 []
};

// Weights of the language model and of predictors are clipped apart, so that a predictor changes no
// bit of the language model. Where the model is bfloat16 the float32 masters live here. Matrices
// decay; norms, biases and routers do not. With trains = routers the other weights have no gradient
// and keep their bits.
class Optimizer {
 public:
  Optimizer(Model& model, const OptimizerConfig& config, const GuardConfig& guard);

  // Adds the gradients of one micro-batch and clears them. Call after each backward.
  void accumulate();
  // Clips, checks and updates. The check is a flag on the device that masks the update: a gradient
  // or loss that is NaN or infinite, or a norm far above its moving average, changes nothing, the
  // average included. `loss` float32 [].
  UpdateResult step(double learning_rate, const Tensor& loss);

  // Everything a bit-exact resume needs, by name: moments, masters, step counts, the guard's
  // average. The tensors are the optimizer's own.
  std::map<std::string, Tensor> state() const;
  void restore(
      const std::map<std::string, Tensor>& state);  // Error naming what is missing or misshapen

 private:
  struct Group {
    double weight_decay = 0;
    bool predictor = false;
    std::vector<std::string> names;
    std::vector<Tensor> weights;    // what the model computes with
    std::vector<Tensor> masters;    // the same tensors, or float32 copies
    std::vector<Tensor> gradients;  // of the masters, after accumulate()
    std::vector<Tensor> first, second;
    std::vector<Tensor> updates;  // float32 []  accepted steps that had a gradient: a predictor has
                                  // none while its capacity is 1
  };
  Tensor norm_of(bool predictor) const;

  OptimizerConfig config_;
  GuardConfig guard_;
  std::vector<Group> groups_;
  Tensor accepted_;               // float32 []  steps
  Tensor average_norm_, in_row_;  // float32 []
};

}  // namespace pointwork
