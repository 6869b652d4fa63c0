#pragma once
// A router says which rows enter which expert, and with what weight. What it costs, what it keeps
// and what trains it beside the language model's loss are its own to say.

#include <torch/nn/module.h>

#include <memory>

#include "pointwork/config/route_config.h"
#include "pointwork/route/context.h"
#include "pointwork/route/flops.h"
#include "pointwork/route/route.h"
#include "pointwork/route/router_state.h"

namespace pointwork {

class Router : public torch::nn::Module {
 public:
  Router(std::string name, const RouteConfig& config) : name_(std::move(name)), config_(config) {}

  // Selection by ctx.routing. Everything up to the weights is float32. x [T, D]: the rows that the
  // body reads. `state`: after the round before; it becomes that of the next.
  virtual Route forward(const Tensor& x, RouterState& state, Context& ctx) = 0;
  Route forward(const Tensor& x, Context& ctx) {
    RouterState first;
    return forward(x, first, ctx);
  }

  // What trains this router beside the language model's loss. // float32 [], undefined: nothing
  virtual Tensor loss(const Route& route) const = 0;

  // Once the micro-batches of a training step are through: state that is moved by all of them.
  virtual void end_step() {}

  // Expected share of rows that enter; above 1 where a row enters several experts.
  virtual double share(int64_t step) const = 0;

  // The rows inside the body, without measured ones.
  virtual Extent inside(const Extent& extent) const = 0;

  // Slots that a training step computes on, sequence by sequence.
  virtual Extent slots(const Extent& extent) const = 0;

  // Rows that enter at all, as a share.
  virtual double taking(int64_t step) const { return share(step); }

  // Appends the router's own parts under `name`.
  virtual void flops(const Extent& extent, const std::string& name, FlopParts& parts) const = 0;

  // Bytes kept for the backward pass a row, at `element` bytes a value of the stream.
  virtual double kept_bytes_per_row(int64_t step, double element) const = 0;

  const RouteConfig& config() const { return config_; }
  const std::string& name() const { return name_; }

  Tensor weight;  // float32 [D], of several experts [E, D], of token choice [E + O, D]; undefined
                  // with random routing

 protected:
  std::string name_;
  RouteConfig config_;
};

struct RouterOptions {
  std::string name;          // of the routed branch, as in the parameter names
  int64_t size = 0;          // D
  bool attends = false;      // the body has attention in it
  bool projections = false;  // of attention itself: every row attends, and experts are its weights
  int64_t rounds = 1;        // of the repeat around
};

std::shared_ptr<Router> make_router(const RouterOptions& options, const RouteConfig& config);

}  // namespace pointwork
