#include "pointwork/checkpoint/describe.h"

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/files/hash.h"
#include "pointwork/files/manifest.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

Json config_json(const Config& config, torch::Dtype dtype, const SaveContent& content) {
  Json json = {{"model_type", "pointwork"},
               {"architectures", {"PointworkModel"}},
               {"torch_dtype", dtype_in_config(dtype)},
               {"vocab_size", config.model.vocab_size},
               {"hidden_size", config.model.hidden_size},
               {"num_hidden_layers", config.model.num_hidden_layers},
               {"max_position_embeddings", config.model.max_position_embeddings},
               {"tie_word_embeddings", config.model.tie_word_embeddings},
               {"step", content.step}};
  const Json all = Json::parse(to_json(config));
  json["pointwork"] = {{"model", all["model"]}, {"branch", all["branch"]}};
  if (!content.carried.is_null()) json["hugging_face"] = content.carried;
  return json;
}

Json generation_config(const SaveContent& content) {
  if (content.carried.is_object() && content.carried.contains("generation_config") &&
      content.carried["generation_config"].is_object())
    return content.carried["generation_config"];
  Json json = Json::object();
  if (content.end_of_text) {
    json["bos_token_id"] = *content.end_of_text;
    json["eos_token_id"] = *content.end_of_text;
  }
  return json;
}

}  // namespace

std::string dtype_in_config(torch::Dtype dtype) {
  switch (dtype) {
    case torch::kFloat64:
      return "float64";
    case torch::kBFloat16:
      return "bfloat16";
    case torch::kFloat16:
      return "float16";
    default:
      return "float32";
  }
}

void describe_checkpoint(const std::filesystem::path& folder, const Config& config,
                         torch::Dtype dtype, const SaveContent& content) {
  write_file(folder / kConfigFile, to_toml(config));
  write_file(folder / "config.json", config_json(config, dtype, content).dump(2) + "\n");
  write_file(folder / "generation_config.json", generation_config(content).dump(2) + "\n");
  if (!content.tokenizer.empty()) write_file(folder / "tokenizer.json", content.tokenizer);
  for (const auto& [name, text] : content.tokenizer_settings) write_file(folder / name, text);
}

void seal_checkpoint(const std::filesystem::path& folder, const SaveContent& content) {
  write_manifest(folder, {{"kind", "checkpoint"},
                          {"step", content.step},
                          {"config_hash", hash_file(folder / kConfigFile)},
                          {"tokenizer_hash", content.tokenizer_hash},
                          {"dataset_hash", content.dataset_hash}});
}

}  // namespace pointwork
