#pragma once
// Models that are counted, not computed with.

#include <c10/core/Allocator.h>

namespace pointwork {

// While it lives, a large tensor on the CPU is address space alone, which costs nothing until it is
// written: a model larger than this machine can be built and counted.
class Weightless {
 public:
  Weightless();
  ~Weightless();
  Weightless(const Weightless&) = delete;
  Weightless& operator=(const Weightless&) = delete;

 private:
  c10::Allocator* before_;
};

}  // namespace pointwork
