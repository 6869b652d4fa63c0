#pragma once
// A residual branch: what is added to the residual stream. The grammar's nouns are Branches, and a
// Branch of Branches is again one.

#include <torch/nn/module.h>

#include <vector>

#include "pointwork/route/context.h"
#include "pointwork/route/flops.h"
#include "pointwork/route/route.h"

namespace pointwork {

// Every differentiable value that crosses a branch does so here, never sideways through Context.
struct Output {
  Tensor delta;               // [T, D]  what is added to the residual stream; of add_to: x + delta
  std::vector<Route> routes;  // in forward order
};

class Branch : public torch::nn::Module {
 public:
  // x [T, D], T = ctx.rows.count().
  virtual Output forward(const Tensor& x, Context& ctx) = 0;

  // delta holds x + delta; fused where a branch can.
  virtual Output add_to(const Tensor& x, Context& ctx) {
    Output out = forward(x, ctx);
    out.delta = x + out.delta;
    return out;
  }

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
