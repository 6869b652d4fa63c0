#include "pointwork/checkpoint/weight_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/checkpoint/tensors.h"
#include "pointwork/files/file.h"
#include "pointwork/files/strict_json.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr uint64_t kLongestIndex = uint64_t{64} << 20;
constexpr size_t kDeepest = 32;

// Of each shard the tensors that the index says are in it.
std::map<std::string, std::set<std::string>> read_index(const fs::path& path) {
  const std::string where = path.string() + ": ";
  const std::string text = read_file(path, kLongestIndex);
  const std::string fault = json_fault(text, kDeepest);
  check(fault.empty(), where, "it ", fault);
  const Json json = Json::parse(text);
  check(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), where,
        "expected a table weight_map of tensors and their files");
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [name, file] : json["weight_map"].items()) {
    check(file.is_string(), where, "the file of tensor '", printable(name),
          "' must be text, found ", printable(file.dump(), 40));
    const std::string shard = file.get<std::string>();
    check(!shard.empty() && shard.find('/') == std::string::npos && shard != ".." && shard != ".",
          where, "tensor '", printable(name), "' is said to be in '", printable(shard),
          "', expected the name of a file beside it");
    shards[shard].insert(name);
  }
  check(!shards.empty(), where, "weight_map names no tensor");
  return shards;
}

// What else such a folder may hold: programs that make objects, which are never run here.
[[noreturn]] void no_weights(const fs::path& folder) {
  std::error_code error;
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (!fs::exists(folder / name, error)) continue;
    fail(folder.string(), " has its weights in ", name,
         ", a pickle, which can run any program and is not read. In Python: from transformers "
         "import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained('",
         folder.string(), "').save_pretrained('", folder.string(), "-safetensors')");
  }
  fail(folder.string(), " has no weights: expected ", kWhole, " or ", kIndex);
}

}  // namespace

WeightFiles::WeightFiles(const fs::path& folder) {
  std::error_code error;
  if (fs::is_regular_file(folder, error)) {
    open(folder);
    return;
  }
  const bool whole = fs::exists(folder / kWhole, error), index = fs::exists(folder / kIndex, error);
  check(!(whole && index), folder.string(), " has both ", kWhole, " and ", kIndex,
        ": it is not clear which holds the weights");
  if (!whole && !index) no_weights(folder);
  if (whole) {
    open(folder / kWhole);
    return;
  }
  const auto shards = read_index(folder / kIndex);
  files_.reserve(shards.size());  // entries are pointed to
  for (const auto& [shard, tensors] : shards)
    check(fs::exists(folder / shard, error), folder.string(), ": the shard ", printable(shard),
          ", which ", kIndex, " names, is missing");
  for (const auto& [shard, tensors] : shards) {
    open(folder / shard);
    const SafetensorsFile& file = files_.back();
    for (const std::string& name : tensors)
      check(file.find(name) != nullptr, folder.string(), ": ", kIndex, " says that tensor '",
            printable(name), "' is in ", printable(shard), ", but it is not");
    for (const TensorEntry& entry : file.tensors())
      check(tensors.count(entry.name) > 0, folder.string(), ": tensor '", printable(entry.name),
            "' is in ", printable(shard), ", but ", kIndex, " does not say so");
  }
}

void WeightFiles::open(const fs::path& path) {
  if (files_.capacity() == files_.size()) files_.reserve(files_.size() + 1);
  files_.emplace_back(path);
  for (const TensorEntry& entry : files_.back().tensors()) {
    const auto [at, fresh] = places_.emplace(entry.name, Place{files_.size() - 1, &entry});
    check(fresh, path.parent_path().string(), ": tensor '", printable(entry.name), "' is in ",
          file_of(entry.name), " and in ", path.filename().string());
    names_.push_back(entry.name);
    bytes_ += entry.end - entry.begin;
  }
}

const TensorEntry* WeightFiles::find(const std::string& name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : found->second.entry;
}

const WeightFiles::Place& WeightFiles::place(const std::string& name) const {
  const auto found = places_.find(name);
  check(found != places_.end(), "there is no tensor '", printable(name), "'");
  return found->second;
}

std::string WeightFiles::file_of(const std::string& name) const {
  return files_[place(name).file].path().filename().string();
}

std::span<const std::byte> WeightFiles::bytes(const std::string& name) const {
  const Place& at = place(name);
  return files_[at.file].bytes(*at.entry);
}

Tensor WeightFiles::view(const std::string& name) const {
  const Place& at = place(name);
  const auto bytes = files_[at.file].bytes(*at.entry);
  const torch::Dtype dtype = dtype_of(at.entry->dtype);
  if (bytes.empty()) return torch::empty(at.entry->shape, dtype);
  void* data = const_cast<std::byte*>(bytes.data());
  const Tensor mapped = torch::from_blob(data, at.entry->shape, dtype);
  // A file may put an element anywhere; the kernels of LibTorch expect it on its own boundary.
  if (reinterpret_cast<uintptr_t>(data) % mapped.element_size() == 0) return mapped;
  const Tensor copied = torch::empty(at.entry->shape, dtype);
  std::memcpy(copied.data_ptr(), data, bytes.size());
  return copied;
}

std::vector<fs::path> WeightFiles::paths() const {
  std::vector<fs::path> all;
  for (const SafetensorsFile& file : files_) all.push_back(file.path());
  return all;
}

void WeightFiles::forget(const std::string& name) const {
  const Place& at = place(name);
  files_[at.file].forget(files_[at.file].bytes(*at.entry));
}

}  // namespace pointwork
