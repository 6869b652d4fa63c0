#pragma once
// When a loop is worth more than one thread.

#include <cstdint>

namespace pointwork::kernels {

// Elements touched below which waking the other threads (about 5 µs) costs more than they save.
inline constexpr int64_t kParallelElements = 1 << 15;

inline bool worth_threads(int64_t elements) { return elements >= kParallelElements; }

}  // namespace pointwork::kernels
