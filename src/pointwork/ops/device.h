#pragma once
// Which implementation an op takes.

#include <torch/types.h>

namespace pointwork {

using torch::Tensor;

// True where our own CPU kernel serves: CPU tensors, and POINTWORK_COMPOSITE is not set. Otherwise
// the composite of library ops runs, which is each op's specification, its gradient oracle, and
// what serves devices without a kernel of ours.
bool use_kernel(const Tensor& x);

// For tests: composites from here on, until destroyed.
class CompositeGuard {
 public:
  CompositeGuard();
  ~CompositeGuard();

 private:
  bool before_;
};

}  // namespace pointwork
