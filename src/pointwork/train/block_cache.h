#pragma once
// Memory of CPU tensors that is kept when freed, for the next tensor of about that size.

#include <c10/core/Allocator.h>

namespace pointwork {

// The process's one. A training step asks for the same sizes again and again; glibc would hand
// large blocks back to the system, and take page faults for them in the next step, or, told not to,
// leave holes: aligned requests do not fit the blocks that they themselves left.
c10::Allocator* block_cache();

}  // namespace pointwork
