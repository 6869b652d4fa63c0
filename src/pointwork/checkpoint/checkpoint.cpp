#include "pointwork/checkpoint/checkpoint.h"

#include "pointwork/base/check.h"
#include "pointwork/checkpoint/describe.h"
#include "pointwork/checkpoint/fit.h"
#include "pointwork/files/file.h"
#include "pointwork/files/hash.h"
#include "pointwork/files/manifest.h"
#include "pointwork/files/safetensors.h"
#include "pointwork/files/steps.h"
#include "pointwork/text/tokenizer.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr uint64_t kLongestJson = uint64_t{16} << 20;

[[noreturn]] void refuse(const fs::path& folder, const std::string& why) {
  fail("checkpoint ", folder.string(), ": ", why);
}

// The ids that end a text, of generation_config.json or config.json.
std::vector<int32_t> end_tokens_of(const Json& json) {
  std::vector<int32_t> ids;
  if (!json.is_object() || !json.contains("eos_token_id")) return ids;
  const Json& value = json["eos_token_id"];
  for (const Json& one : value.is_array() ? value : Json::array({value})) {
    if (one.is_number_integer() && one.get<uint64_t>() <= INT32_MAX)
      ids.push_back(one.get<int32_t>());
  }
  return ids;
}

Json generation_config_in(const fs::path& folder) {
  const fs::path path = folder / "generation_config.json";
  std::error_code error;
  return fs::exists(path, error) ? parse_object(read_file(path, kLongestJson), path.string())
                                 : Json();
}

TokenizerSettings tokenizer_settings_in(const fs::path& folder) {
  TokenizerSettings found;
  std::error_code error;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                           "chat_template.jinja"}) {
    const fs::path path = folder / name;
    if (fs::is_regular_file(path, error)) found[name] = read_file(path, kLongestJson);
  }
  return found;
}

// Opens what has no hashes; a tokenizer that cannot be read is no reason to refuse the weights.
Checkpoint open_foreign(const fs::path& folder,
                        const std::function<void(const std::string&)>& note) {
  Checkpoint checkpoint;
  checkpoint.folder = folder;
  checkpoint.foreign = std::make_shared<const HuggingFaceModel>(folder);
  checkpoint.tokenizer_settings = tokenizer_settings_in(folder);
  checkpoint.config = checkpoint.foreign->config();
  checkpoint.dtype = checkpoint.foreign->dtype();
  const Json& json = checkpoint.foreign->json();
  const Json generation = generation_config_in(folder);
  checkpoint.end_tokens = end_tokens_of(generation);
  if (checkpoint.end_tokens.empty()) checkpoint.end_tokens = end_tokens_of(json);
  if (json.contains("pointwork") && json["pointwork"].is_object()) {
    JsonKeys own(json["pointwork"], (folder / "config.json").string() + ": pointwork");
    checkpoint.step = static_cast<int64_t>(own.number("step", 0));
    checkpoint.dataset_hash = own.text("dataset_hash", "");
    checkpoint.tokenizer_hash = own.text("tokenizer_hash", "");
    if (const Json* carried = own.take("carried")) checkpoint.carried = *carried;
  } else {
    checkpoint.carried = {{"config", json}, {"generation_config", generation}};
  }
  std::error_code error;
  if (!fs::exists(checkpoint.tokenizer(), error)) return checkpoint;
  try {
    checkpoint.tokenizer_hash = Tokenizer::load(checkpoint.tokenizer()).hash();
  } catch (const Error& reason) {
    checkpoint.tokenizer_hash.clear();
    if (note) note(concat("its tokenizer is not used: ", reason.what()));
  }
  return checkpoint;
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
  for (const char* name : {kConfigFile, kWeightsFile}) {
    if (!fs::exists(folder / name)) refuse(folder, concat(name, " is missing"));
  }
  checkpoint.config = load_config(folder / kConfigFile);
  checkpoint.step = report.facts.value("step", int64_t{0});
  checkpoint.tokenizer_hash = report.facts.value("tokenizer_hash", "");
  checkpoint.dataset_hash = report.facts.value("dataset_hash", "");
  checkpoint.end_tokens = end_tokens_of(generation_config_in(folder));
  checkpoint.tokenizer_settings = tokenizer_settings_in(folder);
  if (fs::exists(folder / "config.json")) {
    const fs::path path = folder / "config.json";
    const Json json = parse_object(read_file(path, kLongestJson), path.string());
    if (json.contains("hugging_face")) checkpoint.carried = json["hugging_face"];
  }
  const SafetensorsFile weights(folder / kWeightsFile);
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
    const fs::path config = path / "config.json";
    const Json json = parse_object(read_file(config, kLongestJson), config.string());
    if (json.contains("model_type") && json["model_type"] == "pointwork")
      refuse(path, concat(kManifestFile, " is missing"));
    fail(config.string(), " has no model_type, so it is not known what the folder holds");
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
                 describe_checkpoint(at, model.config(), model.dtype(), content);
                 save_tensors(at / kWeightsFile, weights_of(model));
                 if (content.trainer) {
                   fs::create_directory(at / "trainer");
                   save_tensors(at / "trainer" / "optimizer.safetensors", content.trainer->tensors);
                   write_file(at / "trainer" / "state.json", content.trainer->state.dump(2) + "\n");
                 }
                 seal_checkpoint(at, content);
               },
               {.replace = replace});
}

fs::path Checkpoint::tokenizer() const {
  std::error_code error;
  for (const char* name : {"tokenizer.model", "spiece.model"}) {
    if (foreign && !fs::exists(folder / "tokenizer.json", error) &&
        fs::exists(folder / name, error))
      return folder / name;
  }
  return folder / "tokenizer.json";
}

Checkpoint open_checkpoint(const fs::path& path,
                           const std::function<void(const std::string&)>& note) {
  std::error_code error;
  check(fs::exists(path, error), path.string(), ": no such checkpoint or run");
  check(fs::is_directory(path, error), path.string(),
        " is a file, expected the folder of a checkpoint or a run");
  if (fs::exists(path / kManifestFile)) return open_folder(path);
  const fs::path steps = path / "checkpoints";
  if (!fs::is_directory(steps, error)) {
    if (is_hugging_face(path)) return open_foreign(path, note);
    not_a_checkpoint(path);
  }
  check(!list_steps(steps).empty(), "run ", path.string(), " has no checkpoint yet");
  std::string last;
  const auto step = newest_valid_step(steps, [&](const std::string& why) {
    last = why;
    if (note) note(why);
  });
  check(step.has_value(), "run ", path.string(), " has no valid checkpoint: ", last);
  return open_folder(step_folder(steps, *step));
}

namespace {

void fill(const Checkpoint& checkpoint, TensorMap& targets) {
  const HuggingFaceModel& source = *checkpoint.foreign;
  for (const TensorMatch& match : source.matches()) {
    const auto found = targets.find(match.ours);
    if (found == targets.end() || found->second.sizes() != match.shape)
      refuse(checkpoint.folder,
             concat("it has a tensor '", match.ours, "' of shape ", at::IntArrayRef(match.shape),
                    ", for which the model has no place"));
    Tensor flat = found->second.view({-1});
    int64_t at = 0;
    source.each_piece(match, [&](const Tensor& piece) {
      flat.narrow(0, at, piece.numel()).view(piece.sizes()).copy_(piece);
      at += piece.numel();
    });
    targets.erase(found);
  }
  if (!targets.empty())
    refuse(checkpoint.folder,
           concat("it has no tensor '", targets.begin()->first, "', which the config asks for"));
}

}  // namespace

void load_weights(const Checkpoint& checkpoint, Model& model) {
  const torch::NoGradGuard no_grad;
  if (checkpoint.foreign) {
    TensorMap targets = weights_of(model);
    fill(checkpoint, targets);
    return;
  }
  each_weight(checkpoint, model,
              [](Tensor& target, const Tensor& source) { target.copy_(source); });
}

std::shared_ptr<Model> load_model(const Checkpoint& checkpoint, torch::Device device,
                                  std::optional<torch::Dtype> dtype) {
  auto model = std::make_shared<Model>(checkpoint.config);
  const torch::Dtype last = dtype.value_or(checkpoint.dtype);
  // Values that are about to be written need not be converted, and ours are checked in their own.
  make_room(*model, checkpoint.foreign ? last : checkpoint.dtype);
  load_weights(checkpoint, *model);
  convert(*model, last, device);
  return model;
}

std::string hash_of(const Checkpoint& checkpoint) {
  if (!checkpoint.foreign) return hash_file(checkpoint.folder / kManifestFile);
  std::string all = hash_file(checkpoint.folder / "config.json");
  for (const fs::path& path : checkpoint.foreign->files().paths()) all += hash_file(path);
  return hash_bytes(std::as_bytes(std::span(all)));
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
