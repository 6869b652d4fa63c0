#pragma once
// Who went where, on the host: for pages, terminals and comparisons.

#include <string>
#include <vector>

#include "pointwork/route/route.h"

namespace pointwork {

// One application of a routed branch, seen from the model's own rows.
struct LayerTrace {
  std::string name;  // "layers.1"; the rounds of a repeat add "#1", "#2" …
  double capacity = 1;
  std::vector<uint8_t>
      reached;  // [T] the row stood before this router (a nested one sees only what got that far)
  std::vector<uint8_t> entered;  // [T]
  std::vector<float> weight;     // [T] sum of combine weights, NaN where the row did not enter
  std::vector<float> decision;   // [T] the causal decision's logit, NaN where there was none
  // Of token choice: experts (0: of another choice), choices a row, and what was chosen before
  // drops, from `experts` on a no-op, -1 none.
  int64_t experts = 0, top_k = 0;
  std::vector<int32_t> choice;  // [T · k]
};

// Routes of one forward pass over `rows` rows.
std::vector<LayerTrace> trace_routes(const std::vector<Route>& routes, int64_t rows);

// [T] of the routers a row stood before, the share it entered; 1 where there are none.
std::vector<double> depth_shares(const std::vector<LayerTrace>& layers, int64_t rows);

}  // namespace pointwork
