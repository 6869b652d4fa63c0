#pragma once
// Router = score + choice, with the causal decision that stands in for the choice at inference.

#include <torch/nn/module.h>

#include "pointwork/config/route_config.h"
#include "pointwork/route/context.h"
#include "pointwork/route/route.h"

namespace pointwork {

// "A small auxiliary MLP predictor (akin to a second router)" on a stopped gradient: D → D/2 → 1
// with SiLU.
class Predictor : public torch::nn::Module {
 public:
  Predictor(int64_t size, double capacity);
  Tensor forward(const Tensor& x);  // [T, D] → float32 [T], the logit of "will be chosen"

  Tensor hidden;       // [D/2, D]
  Tensor hidden_bias;  // [D/2]
  Tensor output;       // float32 [D/2]
  Tensor output_bias;  // float32 [1]
};

class Router : public torch::nn::Module {
 public:
  Router(std::string name, int64_t size, const RouteConfig& config);

  // Selection by ctx.routing. Everything up to the weights is float32. With capacity 1 every row
  // enters.
  Route forward(const Tensor& x, Context& ctx);

  const RouteConfig& config() const { return config_; }
  const std::string& name() const { return name_; }
  double capacity(int64_t step) const;
  bool causal_decision_differs()
      const;  // the decision is learnt, so agreement with the choice is worth measuring

  Tensor weight;  // float32 [D], undefined with random routing
  Tensor
      threshold;  // float32 [2], with choice = threshold: the moving quantile, and 1 once it is set
  std::shared_ptr<Predictor> predictor;

 private:
  Tensor combine_weight(const Tensor& chosen_score) const;
  Tensor decide(const Tensor& x, const Tensor& score, double capacity, const Context& ctx);
  void move_threshold(const Tensor& boundary);

  std::string name_;
  RouteConfig config_;
};

}  // namespace pointwork
