#pragma once
// Continues a batch of prompts of different lengths, each row finishing on its own, over a ragged
// cache.

#include <functional>
#include <string>
#include <vector>

#include "pointwork/decode/sampler.h"
#include "pointwork/model/model.h"
#include "pointwork/route/trace.h"

namespace pointwork {

struct GenerateOptions {
  SamplerOptions sampler;
  int64_t max_new_tokens = 128;
  int64_t prefill_chunk = 512;  // prompt tokens a forward pass, over all rows together; the result
                                // does not depend on it
  std::vector<int32_t> end_tokens;  // each ends a row
  int64_t vocabulary = 0;  // only ids below it are drawn: a model may have rows for more ids than
                           // its tokenizer; 0: all
  uint64_t seed = 1;       // row r draws from seed + r, tokens and random routing alike …
  std::vector<uint64_t> seeds;           // … or from its own, one a row
  Routing routing = Routing::inference;  // training: top-k over the sequence so far, every step
                                         // from the beginning, for comparison
  int64_t step = 0;                      // whose capacities are in force
  bool trace = false;                    // keep who went where
  bool cache = true;                     // false: every step from the beginning (a reference)
  std::function<bool(int64_t row, int32_t token)> on_token;  // false: the row stops
};

enum class Finish { length, end, stop, context };
const char* name_of_finish(Finish finish);  // "length", "end", "stop", "context"

struct Generation {
  std::vector<int32_t> tokens;  // new ones; an end token is not among them
  Finish finish = Finish::length;
  double routed_share = 1;    // of the routers before which this row's tokens stood, those entered
  std::vector<double> depth;  // the same for each token of prompt and continuation that was run
  std::vector<std::vector<LayerTrace>>
      passes;  // with trace: one entry a forward pass, rows of this sequence alone
};

// Error where a prompt is empty, holds an id out of range, or does not fit the learned positions.
// With learned positions a row that reaches the trained length stops with Finish::context; rotary
// positions go on.
std::vector<Generation> generate(Model& model, const std::vector<std::vector<int32_t>>& prompts,
                                 const GenerateOptions& options);

}  // namespace pointwork
