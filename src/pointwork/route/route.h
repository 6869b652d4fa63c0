#pragma once
// Which rows each expert processes: a sparse [experts, rows] matrix in CSR form.

#include <torch/types.h>

#include <string>
#include <vector>

namespace pointwork {

using torch::Tensor;

// A slot that holds no token.
inline constexpr int32_t kEmpty = -1;

// Known from config and batch shape, never from values.
struct RouteShape {
  int64_t rows = 0;     // T, rows that were routed
  int64_t experts = 1;  // E
  int64_t slots = 0;    // N; in inference, where choices are causal, the slots that are filled
  int64_t each = 0;     // slots a sequence, 0 in inference
};

// Row numbers are local to the rows that were routed.
struct Route {
  std::string name;  // the routed branch, as in the parameter names
  Tensor token;   // int32   [N]      row in each slot, ascending within a sequence; kEmpty = none
  Tensor weight;  // float32 [N]      combine weight, differentiable; undefined: 1
  Tensor row_offset;  // int32   [T + 1]  the transpose: slots of row t are row_slot[row_offset[t]
                      // .. row_offset[t + 1]]
  Tensor row_slot;    // int32   [filled]
  Tensor logits;      // float32 [T]      router scores before choice
  Tensor decision;  // float32 [T]      the causal decision's logit: a row enters iff it is above 0;
                    // undefined at capacity 1, where every row does
  Tensor valid;     // bool    [T]      optional: rows that may be chosen
  Tensor root;      // int32   [T]      rows of the model's input
  double capacity = 1;  // target share in force
  int64_t round = 0;    // of the repeats around, as in Context
  int64_t sequences = 1;
  RouteShape shape;
};

}  // namespace pointwork
