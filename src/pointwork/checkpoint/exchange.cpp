#include "pointwork/checkpoint/exchange.h"

#include <map>

#include "pointwork/base/check.h"
#include "pointwork/checkpoint/describe.h"
#include "pointwork/checkpoint/outgoing.h"
#include "pointwork/files/file.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Of a tokenizer and of generation, whoever reads them.
constexpr const char* kBeside[] = {"tokenizer.json",
                                   "tokenizer_config.json",
                                   "special_tokens_map.json",
                                   "added_tokens.json",
                                   "vocab.json",
                                   "merges.txt",
                                   "tokenizer.model",
                                   "spiece.model",
                                   "chat_template.jinja",
                                   "generation_config.json"};

std::vector<fs::path> files_beside(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const char* name : kBeside) {
    if (fs::is_regular_file(folder / name, error)) found.push_back(folder / name);
  }
  return found;
}

void copy_beside(const std::vector<fs::path>& files, const fs::path& to) {
  for (const fs::path& file : files)
    fs::copy_file(file, to / file.filename(), fs::copy_options::overwrite_existing);
}

TensorOutline outline_of(const std::string& name, torch::Dtype dtype,
                         const std::vector<int64_t>& shape) {
  return {name, dtype_name(dtype), shape};
}

uint64_t bytes_of_all(const std::vector<Outgoing>& tensors) {
  uint64_t total = 0;
  for (const Outgoing& one : tensors) total += bytes_of(one.outline);
  return total;
}

// Ours, from either side.
std::vector<OwnTensor> own_tensors(const Checkpoint& from, const WeightFiles* own) {
  std::vector<OwnTensor> tensors;
  if (from.foreign) {
    for (const TensorMatch& match : from.foreign->matches())
      tensors.push_back({match.ours, match.shape,
                         [&](const auto& use) { from.foreign->each_piece(match, use); }});
    return tensors;
  }
  for (const std::string& name : own->names())
    tensors.push_back({name, own->find(name)->shape, [own, name](const auto& use) {
                         use(own->view(name));
                         own->forget(name);
                       }});
  return tensors;
}

ExchangeResult to_pointwork(const Checkpoint& from, const fs::path& to,
                            const ExchangeOptions& options) {
  std::optional<WeightFiles> own;
  if (!from.foreign) own.emplace(from.folder);
  const SaveContent content{.step = from.step,
                            .tokenizer = {},
                            .tokenizer_hash = from.tokenizer_hash,
                            .dataset_hash = from.dataset_hash,
                            .end_of_text = {},
                            .trainer = {},
                            .carried = from.carried,
                            .tokenizer_settings = {}};  // copied with the other files beside
  return write_own(from.config, options.dtype.value_or(from.dtype),
                   own_tensors(from, own ? &*own : nullptr), content, files_beside(from.folder), to,
                   options.replace);
}

// Whether every value is one of `dtype`, so that nothing is lost in it.
bool fits(const Tensor& x, torch::Dtype dtype) { return x.to(dtype).to(x.scalar_type()).equal(x); }

// Theirs, out of our file.
std::vector<Outgoing> class_tensors(const Checkpoint& from, const WeightFiles& own,
                                    const ClassNames& names, const ExchangeOptions& options) {
  std::vector<Outgoing> tensors;
  const auto layers = layouts_of(from.config);
  const auto first_spelling = [](const std::string&) { return false; };
  for (const TensorMatch& match : tensor_matches(names, from.config, *layers, first_spelling)) {
    const Tensor whole = own.view(match.ours);
    torch::Dtype dtype = options.dtype.value_or(whole.scalar_type());
    // Routers are float32 here; what came in bfloat16 goes back so.
    if (!options.dtype && whole.scalar_type() != from.dtype && fits(whole, from.dtype))
      dtype = from.dtype;
    for (size_t part = 0; part < match.parts.size(); ++part) {
      const std::string& bare = match.parts[part].name;
      const bool head = bare == concat(names.head, ".weight");
      tensors.push_back(
          {outline_of(head ? bare : concat(names.prefix, bare), dtype, match.parts[part].shape),
           [=, &own](const Sink& sink) {
             write_elements(piece_of_theirs(match, part, own.view(match.ours)), dtype, sink);
             own.forget(match.ours);
           }});
    }
    own.forget(match.ours);
  }
  return tensors;
}

// Theirs as they are, but for the dtype.
std::vector<Outgoing> same_tensors(const WeightFiles& files, const ExchangeOptions& options) {
  std::vector<Outgoing> tensors;
  for (const std::string& name : files.names()) {
    const TensorEntry& entry = *files.find(name);
    const torch::Dtype stored = dtype_of(entry.dtype);
    const torch::Dtype dtype =
        torch::isFloatingType(stored) ? options.dtype.value_or(stored) : stored;
    tensors.push_back({outline_of(name, dtype, entry.shape), [=, &files](const Sink& sink) {
                         write_elements(files.view(name), dtype, sink);
                         files.forget(name);
                       }});
  }
  return tensors;
}

struct ClassConfig {
  const ClassNames* names = nullptr;
  Json json;           // config.json
  bool whole = false;  // it says all that there is to say
};

// As the class it came from, if that can still say it, else as the first that can.
std::optional<ClassConfig> class_config(const Checkpoint& from) {
  const Json before = from.carried.is_object() ? from.carried.value("config", Json()) : Json();
  std::optional<Json> json;
  if (before.is_object() && before.contains("model_type") && before["model_type"].is_string())
    json = hugging_face_config(before["model_type"].get<std::string>(), from.config);
  const bool again = json.has_value();
  if (!json) json = hugging_face_config(from.config);
  if (!json) return std::nullopt;
  ClassConfig found{.names = class_named((*json)["model_type"].get<std::string>())};
  if (again) {
    const Config said = config_of(before, "config.json");
    found.json = same_computation(said, from.config) ? before : merged_config(before, *json);
    found.whole = said == from.config && from.step == 0;
    return found;
  }
  found.json = std::move(*json);
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"})
    found.json[key] = nullptr;  // which are theirs by default
  const fs::path generation = from.folder / "generation_config.json";
  std::error_code error;
  if (fs::exists(generation, error)) {
    const Json told = parse_object(read_file(generation), generation.string());
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
      if (told.contains(key)) found.json[key] = told[key];
    }
  }
  return found;
}

void name_dtype(Json& json, torch::Dtype dtype) {
  json[json.contains("dtype") ? "dtype" : "torch_dtype"] = dtype_in_config(dtype);
}

ExchangeResult to_hugging_face(const Checkpoint& from, const fs::path& to,
                               const ExchangeOptions& options) {
  if (from.foreign) {
    ExchangeResult result{.model_type = std::string(from.foreign->names().model_type)};
    std::vector<Outgoing> tensors = same_tensors(from.foreign->files(), options);
    result.tensors = static_cast<int64_t>(tensors.size());
    result.bytes = bytes_of_all(tensors);
    Json json = from.foreign->json();
    if (options.dtype) name_dtype(json, *options.dtype);
    write_folder(to,
                 [&](const fs::path& at) {
                   write_file(at / "config.json", json.dump(2) + "\n");
                   copy_beside(files_beside(from.folder), at);
                   std::error_code error;
                   if (fs::exists(from.folder / kConfigFile, error))
                     fs::copy_file(from.folder / kConfigFile, at / kConfigFile);
                   result.files = write_weights(
                       at, std::move(tensors),
                       {.shard_bytes = options.shard_bytes, .metadata = {{"format", "pt"}}});
                 },
                 {.replace = options.replace});
    return result;
  }
  std::optional<ClassConfig> as = class_config(from);
  if (!as) return to_pointwork(from, to, options);
  const WeightFiles own(from.folder);
  ExchangeResult result{.model_type = std::string(as->names->model_type)};
  std::vector<Outgoing> tensors = class_tensors(from, own, *as->names, options);
  result.tensors = static_cast<int64_t>(tensors.size());
  result.bytes = bytes_of_all(tensors);
  name_dtype(as->json, options.dtype.value_or(from.dtype));
  if (!as->whole) {
    as->json["pointwork"] = {{"step", from.step},
                             {"tokenizer_hash", from.tokenizer_hash},
                             {"dataset_hash", from.dataset_hash}};
    if (!from.carried.is_null()) as->json["pointwork"]["carried"] = from.carried;
  }
  write_folder(to,
               [&](const fs::path& at) {
                 write_file(at / "config.json", as->json.dump(2) + "\n");
                 if (!as->whole) write_file(at / kConfigFile, to_toml(from.config));
                 copy_beside(files_beside(from.folder), at);
                 result.files = write_weights(
                     at, std::move(tensors),
                     {.shard_bytes = options.shard_bytes, .metadata = {{"format", "pt"}}});
               },
               {.replace = options.replace});
  return result;
}

}  // namespace

ExchangeResult write_own(const Config& config, torch::Dtype dtype,
                         const std::vector<OwnTensor>& tensors, const SaveContent& content,
                         const std::vector<fs::path>& beside, const fs::path& to, bool replace) {
  check(dtype != torch::kFloat16,
        "a checkpoint of Pointwork cannot be float16: expected float32, bfloat16 or float64");
  // Its values are never written, so it takes no memory.
  Model model(config);
  make_room(model, dtype);
  TensorMap expected = weights_of(model);
  std::vector<Outgoing> outgoing;
  for (const OwnTensor& one : tensors) {
    const auto found = expected.find(one.name);
    check(found != expected.end() && found->second.sizes() == one.shape, "tensor '", one.name,
          "' of shape ", at::IntArrayRef(one.shape), " has no place in the model");
    const torch::Dtype own = found->second.scalar_type();
    outgoing.push_back({outline_of(one.name, own, one.shape), [&one, own](const Sink& sink) {
                          one.each_piece(
                              [&](const Tensor& piece) { write_elements(piece, own, sink); });
                        }});
    expected.erase(found);
  }
  check(expected.empty(), "there is no tensor '", expected.empty() ? "" : expected.begin()->first,
        "', which the config asks for");
  ExchangeResult result{.model_type = "pointwork",
                        .tensors = static_cast<int64_t>(outgoing.size()),
                        .files = 1,
                        .bytes = bytes_of_all(outgoing)};
  write_folder(to,
               [&](const fs::path& at) {
                 describe_checkpoint(at, config, dtype, content);
                 copy_beside(beside, at);
                 write_weights(at, std::move(outgoing), {.shard_bytes = UINT64_MAX});
                 seal_checkpoint(at, content);
               },
               {.replace = replace});
  return result;
}

ExchangeResult exchange(const Checkpoint& from, const fs::path& to,
                        const ExchangeOptions& options) {
  return options.format == ModelFormat::pointwork ? to_pointwork(from, to, options)
                                                  : to_hugging_face(from, to, options);
}

}  // namespace pointwork
