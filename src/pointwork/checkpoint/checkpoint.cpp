#include "pointwork/checkpoint/checkpoint.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/files/hash.h"
#include "pointwork/files/manifest.h"
#include "pointwork/files/safetensors.h"
#include "pointwork/files/steps.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kConfig = "pointwork.toml";

std::string hash_text(const std::string& text) {
  return hash_bytes(std::as_bytes(std::span(text)));
}

std::string hf_config(const Model& model, int64_t step) {
  const Config& config = model.config();
  const bool half = model.dtype() == torch::kBFloat16;
  Json json = {{"model_type", "pointwork"},
               {"architectures", {"PointworkModel"}},
               {"torch_dtype", half ? "bfloat16" : "float32"},
               {"vocab_size", config.model.vocab_size},
               {"hidden_size", config.model.hidden_size},
               {"num_hidden_layers", config.model.num_hidden_layers},
               {"max_position_embeddings", config.model.max_position_embeddings},
               {"tie_word_embeddings", config.model.tie_word_embeddings},
               {"step", step}};
  const Json all = Json::parse(to_json(config));
  json["pointwork"] = {{"model", all["model"]}, {"branch", all["branch"]}};
  return json.dump(2) + "\n";
}

std::string generation_config(const SaveContent& content) {
  Json json = Json::object();
  if (content.end_of_text) {
    json["bos_token_id"] = *content.end_of_text;
    json["eos_token_id"] = *content.end_of_text;
  }
  return json.dump(2) + "\n";
}

[[noreturn]] void refuse(const fs::path& folder, const std::string& why) {
  fail("checkpoint ", folder.string(), ": ", why);
}

Checkpoint open_folder(const fs::path& folder) {
  const ManifestReport report = verify_manifest(folder);
  if (!report.problems.empty()) {
    const size_t more = report.problems.size() - 1;
    refuse(folder,
           report.problems.front() +
               (more ? concat(" (and ", more, " more; `pointwork verify` lists them)") : ""));
  }
  Checkpoint checkpoint;
  checkpoint.folder = folder;
  for (const char* name : {kConfig, kWeights}) {
    if (!fs::exists(folder / name)) refuse(folder, concat(name, " is missing"));
  }
  checkpoint.config = load_config(folder / kConfig);
  checkpoint.step = report.facts.value("step", int64_t{0});
  checkpoint.tokenizer_hash = report.facts.value("tokenizer_hash", "");
  checkpoint.dataset_hash = report.facts.value("dataset_hash", "");
  const SafetensorsFile weights(folder / kWeights);
  const TensorEntry* embedding = weights.find("embedding");
  if (!embedding) refuse(folder, "model.safetensors has no tensor 'embedding'");
  checkpoint.dtype = dtype_of(embedding->dtype);
  return checkpoint;
}

// Says what a folder is when it is no checkpoint.
[[noreturn]] void not_a_checkpoint(const fs::path& path) {
  if (fs::exists(path / "dataset.json"))
    fail(path.string(), " is a data set, expected a checkpoint or a run");
  if (fs::exists(path / "config.json")) {
    std::string type = "unknown";
    try {
      type = Json::parse(read_file(path / "config.json")).value("model_type", type);
    } catch (const std::exception&) {
    }
    if (type == "pointwork") refuse(path, concat(kManifestFile, " is missing"));
    fail(path.string(), " is a Hugging Face folder of model_type '", type,
         "', expected 'pointwork'");
  }
  fail(path.string(),
       " holds no checkpoint: expected a run (with checkpoints/) or a checkpoint (with ",
       kManifestFile, ")");
}

}  // namespace

TensorMap weights_of(const Model& model) {
  TensorMap weights;
  for (const auto& item : model.named_parameters()) weights[item.key()] = item.value();
  for (const auto& item : model.named_buffers()) weights[item.key()] = item.value();
  return weights;
}

void save_checkpoint(const fs::path& folder, const Model& model, const SaveContent& content,
                     bool replace) {
  write_folder(folder,
               [&](const fs::path& at) {
                 const std::string toml = to_toml(model.config());
                 write_file(at / kConfig, toml);
                 write_file(at / "config.json", hf_config(model, content.step));
                 write_file(at / "generation_config.json", generation_config(content));
                 if (!content.tokenizer.empty())
                   write_file(at / "tokenizer.json", content.tokenizer);
                 save_tensors(at / kWeights, weights_of(model));
                 if (content.trainer) {
                   fs::create_directory(at / "trainer");
                   save_tensors(at / "trainer" / "optimizer.safetensors", content.trainer->tensors);
                   write_file(at / "trainer" / "state.json", content.trainer->state.dump(2) + "\n");
                 }
                 write_manifest(at, {{"kind", "checkpoint"},
                                     {"step", content.step},
                                     {"config_hash", hash_text(toml)},
                                     {"tokenizer_hash", content.tokenizer_hash},
                                     {"dataset_hash", content.dataset_hash}});
               },
               {.replace = replace});
}

Checkpoint open_checkpoint(const fs::path& path,
                           const std::function<void(const std::string&)>& note) {
  std::error_code error;
  check(fs::exists(path, error), path.string(), ": no such checkpoint or run");
  check(fs::is_directory(path, error), path.string(),
        " is a file, expected the folder of a checkpoint or a run");
  if (fs::exists(path / kManifestFile)) return open_folder(path);
  const fs::path steps = path / "checkpoints";
  if (!fs::is_directory(steps, error)) not_a_checkpoint(path);
  check(!list_steps(steps).empty(), "run ", path.string(), " has no checkpoint yet");
  std::string last;
  const auto step = newest_valid_step(steps, [&](const std::string& why) {
    last = why;
    if (note) note(why);
  });
  check(step.has_value(), "run ", path.string(), " has no valid checkpoint: ", last);
  return open_folder(step_folder(steps, *step));
}

void load_weights(const Checkpoint& checkpoint, Model& model) {
  const torch::NoGradGuard no_grad;
  TensorMap saved = load_tensors(checkpoint.folder / kWeights);
  for (auto& [name, target] : weights_of(model)) {
    const auto found = saved.find(name);
    if (found == saved.end())
      refuse(checkpoint.folder,
             concat("model.safetensors has no tensor '", name, "', which the config asks for"));
    const Tensor& source = found->second;
    if (source.sizes() != target.sizes() || source.scalar_type() != target.scalar_type()) {
      refuse(checkpoint.folder,
             concat("tensor '", name, "' must be ", target.toString(), " ", target.sizes(),
                    " but is ", source.toString(), " ", source.sizes()));
    }
    target.copy_(source);
    saved.erase(found);
  }
  if (!saved.empty()) {
    refuse(checkpoint.folder, concat("model.safetensors has a tensor '", saved.begin()->first,
                                     "' that the config does not know"));
  }
}

std::shared_ptr<Model> load_model(const Checkpoint& checkpoint, torch::Device device,
                                  std::optional<torch::Dtype> dtype) {
  auto model = std::make_shared<Model>(checkpoint.config);
  convert(*model, checkpoint.dtype, torch::kCPU);
  load_weights(checkpoint, *model);
  convert(*model, dtype.value_or(checkpoint.dtype), device);
  return model;
}

TrainerFiles load_trainer(const Checkpoint& checkpoint) {
  const fs::path folder = checkpoint.folder / "trainer";
  if (!fs::exists(folder / "state.json")) {
    refuse(checkpoint.folder,
           "it was saved without the trainer's state, so training cannot resume from it (`train "
           "--init` begins anew with its weights)");
  }
  TrainerFiles files;
  files.tensors = load_tensors(folder / "optimizer.safetensors");
  try {
    files.state = Json::parse(read_file(folder / "state.json"));
  } catch (const nlohmann::json::exception&) {
    refuse(checkpoint.folder, "trainer/state.json is not JSON");
  }
  return files;
}

}  // namespace pointwork
