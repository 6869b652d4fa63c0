#include "pointwork/checkpoint/tensors.h"

#include <cstring>
#include <utility>

#include "pointwork/base/check.h"
#include "pointwork/files/safetensors.h"

namespace pointwork {
namespace {

constexpr std::pair<const char*, torch::Dtype> kDtypes[] = {
    {"F32", torch::kFloat32}, {"BF16", torch::kBFloat16}, {"F64", torch::kFloat64},
    {"F16", torch::kFloat16}, {"I64", torch::kInt64},     {"I32", torch::kInt32},
    {"I16", torch::kInt16},   {"I8", torch::kInt8},       {"U8", torch::kUInt8},
    {"BOOL", torch::kBool}};

}  // namespace

const char* dtype_name(torch::Dtype dtype) {
  for (const auto& [name, candidate] : kDtypes) {
    if (candidate == dtype) return name;
  }
  fail("[save_tensors] safetensors has no name for dtype ", torch::toString(dtype));
}

torch::Dtype dtype_of(const std::string& name) {
  for (const auto& [candidate, dtype] : kDtypes) {
    if (name == candidate) return dtype;
  }
  fail("[load_tensors] dtype ", name, " is not supported");
}

void save_tensors(const std::filesystem::path& path, const TensorMap& tensors) {
  std::vector<TensorView> views;
  std::vector<Tensor> held;
  for (const auto& [name, tensor] : tensors) {
    held.push_back(tensor.detach().cpu().contiguous());
    const Tensor& host = held.back();
    views.push_back({name,
                     dtype_name(host.scalar_type()),
                     host.sizes().vec(),
                     {static_cast<const std::byte*>(host.data_ptr()), host.nbytes()}});
  }
  write_safetensors(path, views);
}

TensorMap load_tensors(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  TensorMap tensors;
  for (const TensorEntry& entry : file.tensors()) {
    Tensor tensor = torch::empty(entry.shape, dtype_of(entry.dtype));
    const auto bytes = file.bytes(entry);
    if (!bytes.empty()) std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
    tensors.emplace(entry.name, std::move(tensor));
  }
  return tensors;
}

}  // namespace pointwork
