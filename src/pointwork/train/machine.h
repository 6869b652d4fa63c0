#pragma once
// What this process uses and this machine can do.

#include <torch/types.h>

#include <cstdint>

namespace pointwork {

// Highest resident memory of the process so far, mapped files not counted. On a GPU: of its
// allocator.
int64_t peak_memory_bytes(torch::Device device);

// It counts from here on, where the system allows.
void forget_peak_memory(torch::Device device);

// Memory that a new process could take without swapping; on a GPU, its free memory.
int64_t available_memory_bytes(torch::Device device);

// FLOP/s of a large matrix product, the best of a few within about `seconds`: what MFU is a share
// of.
double gemm_peak_flops_per_second(torch::Dtype dtype, torch::Device device, double seconds = 0.5);

// Bytes/s of a large copy, read and written bytes both counted.
double copy_bytes_per_second(torch::Device device, double seconds = 0.5);

// From here on tensors come from block_cache(): freed activations are reused by the next step,
// which then takes no page faults.
void keep_freed_memory();

}  // namespace pointwork
