#pragma once
// What `flops` and `train --dry-run` say of a model beside its dense twin.

#include <optional>
#include <string>

#include "apps/common.h"
#include "pointwork/train/memory.h"
#include "pointwork/train/plan.h"

namespace pointwork::app {

struct Figures {
  int64_t length = 0;  // tokens a sequence
  ModelFlops routed, dense;
  double kv_bytes = 0, dense_kv_bytes = 0;  // a token, in the model's precision
  MemoryEstimate memory;                    // of a training step
  std::optional<PhaseFlops> measured;       // a token, of a run
};

// At the capacities in force once every schedule has ended. FLOPs are the model's own, memory is
// that of a step with its teacher.
Figures figures_of(const Model& model, const Model& twin, const Model* teacher = nullptr);

Json to_json(const Figures& figures);

// [{name, flops x scale, parameters, active_parameters}]
Json parts_json(const FlopParts& parts, double scale = 1);

std::string in_units(double value);  // "81.8 M"
std::string in_bytes(double value);  // "1.9 GiB"

}  // namespace pointwork::app
