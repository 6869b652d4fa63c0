#pragma once
// The files of a checkpoint beside its weights.

#include <filesystem>

#include "pointwork/checkpoint/checkpoint.h"

namespace pointwork {

inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kConfigFile = "pointwork.toml";

// Writes pointwork.toml, config.json (model_type "pointwork", with what was carried),
// generation_config.json and, where there is one, tokenizer.json into a folder that is being made.
void describe_checkpoint(const std::filesystem::path& folder, const Config& config,
                         torch::Dtype dtype, const SaveContent& content);

// Once every file is there: manifest.json.
void seal_checkpoint(const std::filesystem::path& folder, const SaveContent& content);

std::string dtype_in_config(torch::Dtype dtype);  // "bfloat16"

}  // namespace pointwork
