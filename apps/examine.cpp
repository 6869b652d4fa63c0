#include "apps/examine.h"

#include <fstream>

#include "pointwork/base/check.h"
#include "pointwork/checkpoint/fit.h"
#include "pointwork/checkpoint/llama2c.h"
#include "pointwork/data/describe.h"
#include "pointwork/files/file.h"
#include "pointwork/files/manifest.h"
#include "pointwork/files/safetensors.h"
#include "pointwork/files/steps.h"

namespace pointwork::app {
namespace {

namespace fs = std::filesystem;

// Runs `read`; its Error becomes a problem.
void gather(Examination& found, const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    found.problems.push_back(error.what());
  }
}

std::string first_bytes(const fs::path& path, size_t count) {
  std::string bytes(count, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<size_t>(in.gcount()));
  return bytes;
}

Json tensors_of(const SafetensorsFile& file) {
  Json all = Json::array();
  for (const TensorEntry& entry : file.tensors())
    all.push_back({{"name", entry.name}, {"dtype", entry.dtype}, {"shape", entry.shape}});
  return all;
}

Examination examine_checkpoint(const fs::path& folder) {
  Examination found{.kind = "checkpoint"};
  const ManifestReport report = verify_manifest(folder);
  found.problems = report.problems;
  found.facts["bytes"] = report.bytes;
  for (const auto& [key, value] : report.facts.items()) {
    if (key != "kind") found.facts[key] = value;
  }
  if (!found.problems.empty()) return found;
  gather(found, [&] {
    const Checkpoint checkpoint = open_checkpoint(folder);
    found.facts["parameters"] = check_weights(checkpoint);
    found.facts["dtype"] = dtype_name(checkpoint.dtype);
    found.facts["config"] = Json::parse(to_json(checkpoint.config));
    found.facts["resumable"] = fs::exists(folder / "trainer" / "state.json");
    if (fs::exists(checkpoint.tokenizer())) {
      const Tokenizer tokenizer = Tokenizer::load(checkpoint.tokenizer());
      check(tokenizer.hash() == checkpoint.tokenizer_hash,
            "tokenizer.json is not the tokenizer it was trained with");
    }
    found.facts["tensors"] = tensors_of(SafetensorsFile(folder / "model.safetensors"));
  });
  return found;
}

// It has no hashes: what can be checked is that config and tensors fit, and the tokenizer.
Examination examine_hugging_face(const fs::path& folder) {
  Examination found{.kind = "Hugging Face folder"};
  gather(found, [&] {
    const std::string where = (folder / "config.json").string();
    const Json config = parse_object(read_file(where), where);
    if (config.contains("model_type")) found.facts["model_type"] = config["model_type"];
    const HuggingFaceModel model(folder);
    int64_t parameters = 0;
    Json tensors = Json::array();
    for (const TensorMatch& match : model.matches()) {
      int64_t count = 1;
      for (const int64_t n : match.shape) count *= n;
      parameters += count;
    }
    for (const std::string& name : model.files().names()) {
      const TensorEntry& entry = *model.files().find(name);
      tensors.push_back({{"name", name}, {"dtype", entry.dtype}, {"shape", entry.shape}});
    }
    found.facts["bytes"] = model.files().bytes();
    found.facts["parameters"] = parameters;
    found.facts["dtype"] = dtype_name(model.dtype());
    found.facts["config"] = Json::parse(to_json(model.config()));
    found.facts["tensors"] = tensors;
  });
  const Checkpoint place{.folder = folder};
  if (fs::exists(place.tokenizer())) gather(found, [&] { Tokenizer::load(place.tokenizer()); });
  return found;
}

bool looks_hugging_face(const fs::path& folder) {
  if (fs::exists(folder / kManifestFile) || !fs::exists(folder / "config.json")) return false;
  const Json config = Json::parse(read_file(folder / "config.json"), nullptr, false);
  return !config.is_object() || config.value("model_type", Json()) != "pointwork";
}

Examination examine_run(const fs::path& folder) {
  Examination found{.kind = "run"};
  const std::vector<int64_t> steps = list_steps(folder / "checkpoints");
  found.facts["checkpoints"] = steps;
  if (steps.empty()) found.problems.push_back("it has no checkpoint yet");
  for (const int64_t step : steps) {
    const fs::path one = step_folder(folder / "checkpoints", step);
    const ManifestReport report = verify_manifest(one);
    for (const std::string& problem : report.problems)
      found.problems.push_back(one.filename().string() + ": " + problem);
    if (report.problems.empty()) found.facts["step"] = step;  // the newest valid one
  }
  gather(found, [&] {
    const Config config = load_config(folder / "pointwork.toml");
    found.facts["config"] = Json::parse(to_json(config));
  });
  return found;
}

Examination examine_tokenizer(const fs::path& path) {
  Examination found{.kind = "tokenizer"};
  gather(found, [&] {
    const Tokenizer tokenizer = Tokenizer::load(path);
    found.facts["vocab_size"] = tokenizer.vocab_size();
    found.facts["hash"] = tokenizer.hash();
  });
  return found;
}

// A .bin may be llama2.c's model, whose length gives it away, its tokenizer, or a pickle.
Examination examine_binary(const fs::path& path) {
  const std::string first = first_bytes(path, 4);
  check(first != "PK\3\4" && !first.starts_with("\x80\x02"), path.string(),
        " is a pickle, which can run any program and is not read (transformers' save_pretrained "
        "writes safetensors)");
  try {
    const Llama2cFile file(path);
    Examination found{.kind = "llama2.c checkpoint"};
    found.facts["config"] = Json::parse(to_json(file.config()));
    return found;
  } catch (const Error&) {
    return examine_tokenizer(path);
  }
}

Examination examine_safetensors(const fs::path& path) {
  Examination found{.kind = "safetensors"};
  gather(found, [&] {
    const SafetensorsFile file(path);
    found.facts["metadata"] = file.metadata();
    found.facts["tensors"] = tensors_of(file);
  });
  return found;
}

Examination examine_dataset(const fs::path& path) {
  Examination found{.kind = "data set"};
  gather(found, [&] {
    DatasetReport report = verify_dataset(path);
    found.facts = std::move(report.facts);
    found.problems = std::move(report.problems);
  });
  return found;
}

}  // namespace

Examination examine(const fs::path& path) {
  std::error_code error;
  check(fs::exists(path, error), path.string(), ": no such file or folder");
  if (fs::is_directory(path)) {
    if (fs::is_directory(path / "checkpoints")) return examine_run(path);
    if (looks_hugging_face(path)) return examine_hugging_face(path);
    for (const char* part : {kManifestFile, "model.safetensors", "pointwork.toml"}) {
      if (fs::exists(path / part)) return examine_checkpoint(path);
    }
    if (fs::exists(path / "dataset.json")) return examine_dataset(path);
    for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model"}) {
      if (fs::exists(path / name)) return examine_tokenizer(path);
    }
    fail(path.string(), ": neither a run, a checkpoint, a data set nor a tokenizer");
  }
  if (path.extension() == ".safetensors") return examine_safetensors(path);
  if (path.extension() == ".json" || path.extension() == ".model") return examine_tokenizer(path);
  if (path.extension() == ".bin") return examine_binary(path);
  fail(path.string(),
       ": expected a folder, a tokenizer (.json, .model, .bin) or a .safetensors file");
}

}  // namespace pointwork::app
