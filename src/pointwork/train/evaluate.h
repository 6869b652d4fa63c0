#pragma once
// Loss on held-out text, under either routing.

#include <functional>

#include "pointwork/data/loader.h"
#include "pointwork/model/model.h"
#include "pointwork/route/stats.h"

namespace pointwork {

struct Evaluation {
  double loss = 0;  // nats a token
  double perplexity = 0;
  double bits_per_byte = 0;
  int64_t tokens = 0;
  double routed_share = 0;  // of rows at routed blocks, those that entered; 1 for a dense model
  RouteStats decision;      // causal decision against the choice as in training, over all routed
                            // blocks; training routing only
  std::vector<RouteStats> layers;
};

struct EvaluateOptions {
  Split split = Split::validation;
  Routing routing = Routing::inference;
  int64_t sequences = 0;  // the first this many windows; 0: all
  int64_t length = 256;   // S
  int64_t batch = 8;      // B
  bool document_mask = false;
  int64_t step = 0;   // whose capacity is in force
  uint64_t seed = 1;  // of random routing
  std::function<void(int64_t done, int64_t total)> progress;
};

// Reads windows in order, so two calls see the same text. Error where the split has no window.
Evaluation evaluate(Model& model, const Dataset& dataset, const EvaluateOptions& options);

}  // namespace pointwork
