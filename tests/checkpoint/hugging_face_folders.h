#pragma once
// Small folders as Hugging Face's transformers writes them, one for each class, with weights of
// their own.

#include <fstream>

#include "pointwork/checkpoint/hugging_face.h"
#include "pointwork/checkpoint/tensors.h"
#include "pointwork/files/file.h"
#include "tests/support/data.h"
#include "tests/support/tensors.h"

namespace pointwork::test {

namespace fs = std::filesystem;

// config.json of a class: odd sizes, grouped heads where it can.
inline OrderedJson class_json(const std::string& type) {
  OrderedJson json = {{"model_type", type}, {"vocab_size", 37}, {"torch_dtype", "float32"}};
  if (type == "gpt2") {
    json.update({{"n_positions", 24},
                 {"n_embd", 12},
                 {"n_layer", 3},
                 {"n_head", 3},
                 {"n_inner", 20},
                 {"attn_pdrop", 0.1}});
    return json;
  }
  json.update({{"hidden_size", 12},
               {"num_hidden_layers", 3},
               {"num_attention_heads", 3},
               {"max_position_embeddings", 24},
               {"intermediate_size", 20},
               {"rope_theta", 5000.0}});
  if (type == "gpt_neox") {
    json.update({{"rotary_pct", 0.5}, {"use_parallel_residual", true}});
    return json;
  }
  json.update({{"num_attention_heads", 4},
               {"num_key_value_heads", 2},
               {"head_dim", 6},
               {"rms_norm_eps", 1e-6}});
  if (type == "mistral" || type == "mixtral") json["sliding_window"] = nullptr;
  if (type == "mixtral") json.update({{"num_local_experts", 3}, {"num_experts_per_tok", 2}});
  if (type == "olmoe" || type == "qwen2_moe")
    json.update({{"num_experts", 3}, {"num_experts_per_tok", 2}, {"norm_topk_prob", false}});
  if (type == "olmoe") {
    json["num_attention_heads"] = 6;
    json.erase("head_dim");
  }
  if (type == "qwen2_moe")
    json.update({{"moe_intermediate_size", 8},
                 {"shared_expert_intermediate_size", 14},
                 {"mlp_only_layers", {1}}});
  return json;
}

// Every tensor of the class by its name in the file, N(0, 1).
inline TensorMap class_tensors(const OrderedJson& json, torch::Dtype dtype = torch::kFloat32) {
  const ClassNames& names = *class_named(json["model_type"].get<std::string>());
  const Config config = config_of(json, "config.json");
  const auto layers = layouts_of(config);
  TensorMap tensors;
  uint64_t seed = 0;
  for (const TensorMatch& match :
       tensor_matches(names, config, *layers, [](const std::string&) { return false; })) {
    for (const Part& part : match.parts) {
      const bool head = part.name == std::string(names.head) + ".weight";
      tensors[(head ? "" : std::string(names.prefix)) + part.name] =
          normal(part.shape, ++seed, dtype);
    }
  }
  return tensors;
}

inline void put_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

inline fs::path put_folder(const fs::path& folder, const OrderedJson& json,
                           const TensorMap& tensors) {
  fs::remove_all(folder);
  put_text(folder / "config.json", json.dump(2) + "\n");
  put_text(folder / "generation_config.json", "{\n  \"eos_token_id\": [2, 5]\n}\n");
  save_tensors(folder / "model.safetensors", tensors);
  return folder;
}

// `tensors` in files of the given names, with an index.
inline fs::path put_shards(const fs::path& folder, const OrderedJson& json,
                           const std::map<std::string, TensorMap>& shards) {
  fs::remove_all(folder);
  put_text(folder / "config.json", json.dump(2) + "\n");
  OrderedJson places = OrderedJson::object();
  for (const auto& [file, tensors] : shards) {
    save_tensors(folder / file, tensors);
    for (const auto& [name, tensor] : tensors) places[name] = file;
  }
  put_text(folder / "model.safetensors.index.json",
           OrderedJson{{"metadata", OrderedJson::object()}, {"weight_map", places}}.dump());
  return folder;
}

inline std::vector<std::string> class_types() {
  std::vector<std::string> types;
  for (const ClassNames& one : all_classes()) types.emplace_back(one.model_type);
  return types;
}

}  // namespace pointwork::test
