#pragma once
// What a forward pass shares and no gradient touches.

#include <cstdint>

#include "pointwork/route/rows.h"

namespace pointwork {

class KvCache;

// training: selection as in training, top-k over the sequence. inference: causal, what a served
// model does.
enum class Routing { training, inference };

struct Context {
  Rows rows;
  Routing routing = Routing::training;
  bool training = false;     // updates moving state (thresholds) and keeps what backward needs
  int64_t step = 0;          // for schedules
  uint64_t seed = 1;         // of random routing
  KvCache* cache = nullptr;  // inference only; null: every sequence begins in this pass
  int64_t round = 0;         // of the repeats around, as a mixed-radix number
  int64_t site_offset = 0;   // added to every cache site: rounds of the repeats around

  Context with(Rows inner) const {
    Context copy = *this;
    copy.rows = std::move(inner);
    return copy;
  }
};

}  // namespace pointwork
