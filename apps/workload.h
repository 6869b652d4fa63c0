#pragma once
// Units of work that bench times.

#include <memory>

#include "apps/common.h"

namespace pointwork::app {

class Workload {
 public:
  virtual ~Workload() = default;
  virtual void run() = 0;  // one unit, finished when it returns
  virtual std::string name() const = 0;
  virtual double tokens() const = 0;      // of a unit
  virtual double flops() const = 0;       // of a unit, expected
  virtual double flops_palm() const = 0;  // with causal attention in full
  virtual torch::Dtype dtype() const = 0;
};

// "step": forward, backward and update on one batch. "decode": a batch of 8 prompts of different
// lengths, cached. "route": router, choice, dispatch and combine of every routed block, forward and
// backward. Error where a config has nothing to route.
std::unique_ptr<Workload> make_workload(const std::string& what, const std::string& file,
                                        const Common& common, torch::Device device);

int at_threads();

}  // namespace pointwork::app
