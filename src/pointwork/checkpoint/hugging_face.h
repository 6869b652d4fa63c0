#pragma once
// A folder in the layout of Hugging Face's transformers, opened: config.json, safetensors.

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pointwork/checkpoint/hugging_face_config.h"
#include "pointwork/checkpoint/names.h"
#include "pointwork/checkpoint/weight_files.h"

namespace pointwork {

// Whether config.json is there and says the model_type of one of their classes, whichever.
bool is_hugging_face(const std::filesystem::path& folder);

class HuggingFaceModel {
 public:
  // Opens everything and checks that config and tensors fit. Error naming the file, and the tensor
  // or key, with what was expected and what was found.
  explicit HuggingFaceModel(const std::filesystem::path& folder);

  const Config& config() const { return config_; }
  const OrderedJson& json() const { return json_; }  // config.json
  const ClassNames& names() const { return *names_; }
  const WeightFiles& files() const { return files_; }
  // That holds every tensor without loss: routers, which are float32 in any case, not asked.
  torch::Dtype dtype() const { return dtype_; }
  const std::vector<TensorMatch>& matches() const { return matches_; }

  // The pieces of one tensor of ours in order, mapped: their elements one after another are its.
  // `use` must not keep them.
  void each_piece(const TensorMatch& match, const std::function<void(const Tensor&)>& use) const;

 private:
  void name_tensors(const std::filesystem::path& folder);
  void check_shapes(const std::filesystem::path& folder);
  void check_rest(const std::filesystem::path& folder);
  void check_tied(const std::filesystem::path& folder) const;

  OrderedJson json_;
  Config config_;
  const ClassNames* names_;
  WeightFiles files_;
  std::map<std::string, std::string> actual_;  // names without prefix → as they stand in the file
  std::vector<TensorMatch> matches_;
  torch::Dtype dtype_ = torch::kFloat32;
};

// A piece of theirs as it lies in ours, and back: views of the same memory. `whole` is ours, in one
// piece.
Tensor piece_of_ours(const TensorMatch& match, const Tensor& theirs);
Tensor piece_of_theirs(const TensorMatch& match, size_t part, const Tensor& whole);

}  // namespace pointwork
