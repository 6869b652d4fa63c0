#pragma once
// A residual branch: what is added to the residual stream. The grammar's nouns are Branches, and a
// Branch of Branches is again one.

#include <torch/nn/module.h>

#include <vector>

#include "pointwork/route/context.h"
#include "pointwork/route/flops.h"
#include "pointwork/route/route.h"
#include "pointwork/route/router_state.h"

namespace pointwork {

// Every differentiable value that crosses a branch does so here, never sideways through Context.
struct Output {
  Tensor delta;               // [T, D]  what is added to the residual stream; of add_to: x + delta
  std::vector<Route> routes;  // in forward order
  State state;                // of the next round, where a repeat carries one
};

class Branch : public torch::nn::Module {
 public:
  // x [T, D], T = ctx.rows.count(). `state`: of the branch's routers() after the round before;
  // empty at the first.
  virtual Output forward(const Tensor& x, const State& state, Context& ctx) = 0;
  Output forward(const Tensor& x, Context& ctx) { return forward(x, {}, ctx); }

  // delta holds x + delta; fused where a branch can.
  virtual Output add_to(const Tensor& x, const State& state, Context& ctx) {
    Output out = forward(x, state, ctx);
    out.delta = x + out.delta;
    return out;
  }
  Output add_to(const Tensor& x, Context& ctx) { return add_to(x, {}, ctx); }

  // Routers whose state a repeat around this branch carries.
  virtual int64_t routers() const { return 0; }

  // Bytes that a training step keeps for the backward pass, at `element` bytes a value.
  virtual double kept_bytes(const Extent& extent, double element) const = 0;

  // Appends this branch's parts under `name`.
  virtual void flops(Extent& extent, const std::string& name, FlopParts& parts) const = 0;

  // Attention sites of the KV cache inside, rounds counted; numbered from `first`. Returns the next
  // free number.
  virtual int64_t number_sites(int64_t first) { return first; }
  // Cached key-value bytes a token, expected: the share of tokens that reach each site.
  virtual double cached_values_per_token(int64_t /*step*/) const { return 0; }
};

using BranchPtr = std::shared_ptr<Branch>;

}  // namespace pointwork
