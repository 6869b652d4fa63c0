#pragma once
// Index arithmetic of rows.h, one output element or slot at a time, for host and device.

#include <cstdint>

#ifdef __CUDACC__
#define POINTWORK_HOST_DEVICE __host__ __device__
#else
#define POINTWORK_HOST_DEVICE
#endif

namespace pointwork::kernels::body {

// A run of slots of one row.
struct SlotRun {
  int32_t first, last;
};

POINTWORK_HOST_DEVICE inline SlotRun slots_of_row(const int32_t* row_offset, int64_t row) {
  return {row_offset[row], row_offset[row + 1]};
}

POINTWORK_HOST_DEVICE inline float weight_of_slot(const float* weight, int64_t slot) {
  return weight ? weight[slot] : 1.0f;
}

// The first element of the row a slot reads, or null where it is empty.
template <class T>
POINTWORK_HOST_DEVICE inline const T* row_of_slot(const T* x, const int32_t* token, int64_t slot,
                                                  int64_t width) {
  const int32_t row = token[slot];
  return row < 0 ? nullptr : x + static_cast<int64_t>(row) * width;
}

}  // namespace pointwork::kernels::body
