#include "pointwork/checkpoint/outgoing.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"

namespace pointwork {
namespace {

constexpr int64_t kChunk = 4 << 20;  // bytes copied at a time

// Consecutive tensors that stand in one file.
std::vector<std::vector<Outgoing>> in_shards(std::vector<Outgoing> tensors, uint64_t most) {
  std::vector<std::vector<Outgoing>> shards(1);
  uint64_t held = 0;
  for (Outgoing& one : tensors) {
    const uint64_t size = bytes_of(one.outline);
    if (held > 0 && held + size > most) {
      shards.emplace_back();
      held = 0;
    }
    held += size;
    shards.back().push_back(std::move(one));
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

void write_one(const std::filesystem::path& path, const std::vector<Outgoing>& tensors,
               const std::map<std::string, std::string>& metadata) {
  std::vector<TensorOutline> outlines;
  for (const Outgoing& one : tensors) outlines.push_back(one.outline);
  SafetensorsWriter writer(path, outlines, metadata);
  for (const Outgoing& one : tensors) {
    uint64_t left = bytes_of(one.outline);
    one.write([&](std::span<const std::byte> bytes) {
      check(bytes.size() <= left, "tensor '", one.outline.name, "' has too many bytes");
      left -= bytes.size();
      writer.append(bytes);
    });
    check(left == 0, "tensor '", one.outline.name, "' lacks ", left, " bytes");
  }
  writer.finish();
}

}  // namespace

void write_elements(const Tensor& x, torch::Dtype dtype, const Sink& sink) {
  const auto width =
      static_cast<int64_t>(std::max<size_t>(x.element_size(), torch::elementSize(dtype)));
  const int64_t bytes = x.numel() * width;
  if (bytes == 0) return;
  if (bytes <= kChunk || x.dim() == 0) {
    const Tensor part = x.detach().to(dtype).contiguous();
    sink({static_cast<const std::byte*>(part.data_ptr()), part.nbytes()});
    return;
  }
  const int64_t rows = std::max<int64_t>(1, kChunk * x.size(0) / bytes);
  for (int64_t at = 0; at < x.size(0); at += rows) {
    const int64_t count = std::min(rows, x.size(0) - at);
    // A row alone may be too long: then its own first dimension is divided.
    write_elements(count == 1 ? x.select(0, at) : x.narrow(0, at, count), dtype, sink);
  }
}

int64_t write_weights(const std::filesystem::path& folder, std::vector<Outgoing> tensors,
                      const WriteOptions& options) {
  std::sort(tensors.begin(), tensors.end(),
            [](const Outgoing& a, const Outgoing& b) { return a.outline.name < b.outline.name; });
  const auto shards = in_shards(std::move(tensors), options.shard_bytes);
  if (shards.size() == 1) {
    write_one(folder / "model.safetensors", shards.front(), options.metadata);
    return 1;
  }
  uint64_t total = 0;
  nlohmann::ordered_json places = nlohmann::ordered_json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    write_one(folder / name, shards[i], options.metadata);
    for (const Outgoing& one : shards[i]) {
      places[one.outline.name] = name;
      total += bytes_of(one.outline);
    }
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", total}}},
                                        {"weight_map", places}};
  write_file(folder / "model.safetensors.index.json", index.dump(2) + "\n");
  return static_cast<int64_t>(shards.size());
}

}  // namespace pointwork
