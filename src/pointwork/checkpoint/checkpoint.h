#pragma once
// A model on disk, in Hugging Face's shape: config.json (model_type "pointwork"),
// model.safetensors, tokenizer.json, generation_config.json; besides, pointwork.toml (the truth),
// trainer/ (what a bit-exact resume needs) and manifest.json (sizes, hashes).

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "pointwork/checkpoint/hugging_face.h"
#include "pointwork/checkpoint/tensors.h"
#include "pointwork/model/model.h"

namespace pointwork {

struct TrainerFiles {
  TensorMap tensors;             // trainer/optimizer.safetensors
  nlohmann::ordered_json state;  // trainer/state.json
};

// What others' programs read of a tokenizer beside tokenizer.json (tokenizer_config.json, a chat's
// template …): files by name, kept as they are.
using TokenizerSettings = std::map<std::string, std::string>;

struct SaveContent {
  int64_t step = 0;
  std::string tokenizer;       // tokenizer.json's text; "": none
  std::string tokenizer_hash;  // what ids mean
  std::string dataset_hash;    // "": none
  std::optional<int64_t> end_of_text;
  std::optional<TrainerFiles> trainer;
  nlohmann::ordered_json carried = nullptr;  // see Checkpoint
  TokenizerSettings tokenizer_settings;
};

// The folder appears whole or not at all. Error if it exists, unless `replace`.
void save_checkpoint(const std::filesystem::path& folder, const Model& model,
                     const SaveContent& content, bool replace = false);

// A checkpoint whose every file had its hash when it was opened, or a folder of Hugging Face's,
// which has no hashes.
struct Checkpoint {
  std::filesystem::path folder;
  Config config;
  int64_t step = 0;
  std::string tokenizer_hash, dataset_hash;
  torch::Dtype dtype = torch::kFloat32;  // of its weights; routers are float32 besides
  std::vector<int32_t> end_tokens;       // that end a text, as far as its files say
  // What a Hugging Face folder said that a Config has no place for: {"config": config.json,
  // "generation_config": generation_config.json}; null where the model was never in one.
  nlohmann::ordered_json carried;
  TokenizerSettings tokenizer_settings;
  std::shared_ptr<const HuggingFaceModel> foreign;  // null where it is ours

  std::filesystem::path tokenizer() const;  // need not be there
};

// A checkpoint folder; a run folder: then its newest valid checkpoint, and `note` is told which
// newer ones were passed over and why; or a Hugging Face folder of a class that names.h knows.
// Error naming the file where anything is missing, damaged or of another kind.
Checkpoint open_checkpoint(const std::filesystem::path& path,
                           const std::function<void(const std::string&)>& note = {});

// Tells it from any other, by what its files hold: XXH3-128.
std::string hash_of(const Checkpoint& checkpoint);

// Builds the model with the checkpoint's weights, on `device`, in `dtype` (its own where absent).
std::shared_ptr<Model> load_model(const Checkpoint& checkpoint, torch::Device device,
                                  std::optional<torch::Dtype> dtype = {});

// Fills a model of any config whose parameters and buffers have the names and shapes of the
// checkpoint's, tensor by tensor out of the mapped file. It must be on the CPU, and converted to
// the checkpoint's dtype unless that is foreign. Error naming the first that differs.
void load_weights(const Checkpoint& checkpoint, Model& model);

// Error where the checkpoint was saved without them.
TrainerFiles load_trainer(const Checkpoint& checkpoint);

// All parameters and buffers by name; what model.safetensors holds.
TensorMap weights_of(const Model& model);

}  // namespace pointwork
