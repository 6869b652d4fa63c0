#include "pointwork/route/passes.h"

#include <algorithm>
#include <cmath>

namespace pointwork {
namespace {

template <class T>
void extend(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

// Rows that did not come, up to `rows` in all.
void pad(LayerTrace& layer, size_t rows) {
  layer.reached.resize(rows, 0);
  layer.entered.resize(rows, 0);
  layer.weight.resize(rows, std::nanf(""));
  layer.decision.resize(rows, std::nanf(""));
  layer.choice.resize(rows * static_cast<size_t>(layer.top_k), -1);
}

}  // namespace

std::vector<LayerTrace> join_passes(const std::vector<std::vector<LayerTrace>>& passes) {
  std::vector<LayerTrace> all;
  size_t rows = 0;
  for (const std::vector<LayerTrace>& pass : passes) {
    for (const LayerTrace& part : pass) {
      auto layer = std::find_if(all.begin(), all.end(),
                                [&](const LayerTrace& one) { return one.name == part.name; });
      if (layer == all.end()) {
        layer = all.insert(all.end(), {.name = part.name,
                                       .capacity = part.capacity,
                                       .reached = {},
                                       .entered = {},
                                       .weight = {},
                                       .decision = {},
                                       .experts = part.experts,
                                       .top_k = part.top_k,
                                       .choice = {}});
      }
      pad(*layer, rows);
      extend(layer->reached, part.reached);
      extend(layer->entered, part.entered);
      extend(layer->weight, part.weight);
      extend(layer->decision, part.decision);
      extend(layer->choice, part.choice);
    }
    if (!pass.empty()) rows += pass.front().reached.size();
  }
  for (LayerTrace& layer : all) pad(layer, rows);
  return all;
}

}  // namespace pointwork
