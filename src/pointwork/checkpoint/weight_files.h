#pragma once
// The weights of a folder in Hugging Face's layout: model.safetensors, or the shards that
// model.safetensors.index.json names.

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pointwork/files/safetensors.h"

namespace pointwork {

using torch::Tensor;

class WeightFiles {
 public:
  // Maps every file; reads headers alone. Error naming the file where one is missing or malformed,
  // where a tensor is in two shards, where the index and a shard do not name the same tensors, or
  // where there is nothing but pickles (then with the command that converts them).
  // A .safetensors file by itself is taken too.
  explicit WeightFiles(const std::filesystem::path& folder);

  const TensorEntry* find(const std::string& name) const;           // null where there is none
  const std::vector<std::string>& names() const { return names_; }  // in the order of their bytes
  // "model.safetensors", or the shard's name.
  std::string file_of(const std::string& name) const;
  // The mapped tensor itself, on the CPU: it must not be written, nor outlive this object. Error
  // where LibTorch has no such dtype.
  Tensor view(const std::string& name) const;
  std::span<const std::byte> bytes(const std::string& name) const;  // as the file has them
  void forget(const std::string& name) const;                       // see MappedFile
  uint64_t bytes() const { return bytes_; }                         // of all tensors
  std::vector<std::filesystem::path> paths() const;

 private:
  struct Place {
    size_t file;
    const TensorEntry* entry;
  };
  void open(const std::filesystem::path& path);
  const Place& place(const std::string& name) const;

  std::vector<SafetensorsFile> files_;
  std::vector<std::string> names_;
  std::map<std::string, Place> places_;
  uint64_t bytes_ = 0;
};

}  // namespace pointwork
