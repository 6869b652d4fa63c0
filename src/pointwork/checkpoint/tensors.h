#pragma once
// Named tensors ⇄ safetensors.

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>

namespace pointwork {

using torch::Tensor;
using TensorMap = std::map<std::string, Tensor>;

void save_tensors(const std::filesystem::path& path, const TensorMap& tensors);
TensorMap load_tensors(const std::filesystem::path& path);  // on the CPU, copied out of the file

const char* dtype_name(torch::Dtype dtype);  // "F32", …; Error where safetensors has none
torch::Dtype dtype_of(const std::string& name);

}  // namespace pointwork
