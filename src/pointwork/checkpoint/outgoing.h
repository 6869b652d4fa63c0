#pragma once
// Weights on their way into files, tensor by tensor: nothing is held but the piece being written.

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "pointwork/files/safetensors.h"

namespace pointwork {

using torch::Tensor;
using Sink = std::function<void(std::span<const std::byte>)>;

struct Outgoing {
  TensorOutline outline;
  std::function<void(const Sink&)> write;  // hands over the bytes of `outline` in order
};

// The elements of a strided view in order, in another dtype, some megabytes at a time.
void write_elements(const Tensor& x, torch::Dtype dtype, const Sink& sink);

struct WriteOptions {
  uint64_t shard_bytes = uint64_t{50} << 30;    // of tensors in a file, at most (or one tensor)
  std::map<std::string, std::string> metadata;  // of every file
};

// model.safetensors, or shards and model.safetensors.index.json, tensors sorted by name. Returns
// the number of safetensors files.
int64_t write_weights(const std::filesystem::path& folder, std::vector<Outgoing> tensors,
                      const WriteOptions& options);

}  // namespace pointwork
