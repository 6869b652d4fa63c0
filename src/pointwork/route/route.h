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
  int64_t noop = 0;     // O no-op experts
  int64_t top_k = 1;    // k choices a row, of token choice
  int64_t slots = 0;    // N; in inference, where choices are causal, the slots that are filled
  int64_t each = 0;     // slots a sequence, of one expert; 0: no such number
};

// Row numbers are local to the rows that were routed.
struct Route {
  std::string name;  // the routed branch, as in the parameter names
  Tensor token;      // int32   [N]      row in each slot, ascending within an expert; kEmpty = none
  Tensor weight;     // float32 [N]      combine weight, differentiable; undefined: 1
  Tensor row_offset;   // int32   [T + 1]  the transpose: slots of row t are row_slot[row_offset[t]
                       // .. row_offset[t + 1]]
  Tensor row_slot;     // int32   [filled]
  Tensor offset;       // int32   [E + 1]  expert e owns slots offset[e] .. offset[e + 1]; slots
                       // beyond the last are empty; undefined: one expert owns all
  Tensor logits;       // float32 [T]      router scores before choice; of token choice [T, E + O],
                       // before bias and second choices
  Tensor probability;  // float32 [T, E + O]  softmax or sigmoid of the logits; token choice only
  Tensor choice;       // int32   [T, k]   what was chosen, before drops: E .. E + O - 1 are no-ops,
                       // kEmpty none; token choice only
  Tensor copy_weight;  // float32 [T]      Σ weights of copying no-ops; undefined without them
  Tensor decision;  // float32 [T]      the causal decision's logit: a row enters iff it is above 0;
                    // of several experts [T, E];
                    // undefined at capacity 1, where every row does
  Tensor valid;     // bool    [T]      optional: rows that may be chosen
  Tensor root;      // int32   [T]      rows of the model's input
  double capacity = 1;  // target share in force; of token choice the expected one
  bool whole = false;   // every row has its slot, in order
  // Of attention's own weights: the rows that asked, int32 [N'], as `token`; undefined: all.
  Tensor attending;
  bool projections = false;
  bool masked = false;  // with `attending`: its keys, too, are theirs alone
  int64_t round = 0;    // of the repeats around, as in Context
  int64_t sequences = 1;
  int64_t group = 0;  // rows of a routing group; the last may be shorter; 0: all rows are one
  RouteShape shape;
};

}  // namespace pointwork
