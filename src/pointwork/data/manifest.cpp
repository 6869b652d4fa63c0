#include "pointwork/data/manifest.h"

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/files/hash.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kKind = "pointwork.dataset";
constexpr uint64_t kLargestManifest = uint64_t{1} << 28;

Json split_to_json(const SplitManifest& split) {
  Json shards = Json::array();
  for (const ShardInfo& shard : split.shards) {
    shards.push_back({{"file", shard.file},
                      {"tokens", shard.tokens},
                      {"documents", shard.documents},
                      {"bytes", shard.bytes},
                      {"hash", shard.hash}});
  }
  return {{"tokens", split.tokens},
          {"documents", split.documents},
          {"source_bytes", split.source_bytes},
          {"shards", std::move(shards)}};
}

int64_t count(const Json& json, const char* key) {
  const Json& value = json.at(key);
  check(value.is_number_integer() && value.get<int64_t>() >= 0, "'", key,
        "' must be a count but is ", value.dump().substr(0, 40));
  return value.get<int64_t>();
}

SplitManifest split_from_json(const Json& json, const std::string& name) {
  SplitManifest split{.tokens = count(json, "tokens"),
                      .documents = count(json, "documents"),
                      .source_bytes = count(json, "source_bytes")};
  int64_t tokens = 0, documents = 0;
  for (const Json& one : json.at("shards")) {
    ShardInfo shard{.file = one.at("file").get<std::string>(),
                    .tokens = count(one, "tokens"),
                    .documents = count(one, "documents"),
                    .bytes = count(one, "bytes"),
                    .hash = one.at("hash").get<std::string>()};
    const std::filesystem::path file = shard.file;
    check(!shard.file.empty() && file == file.filename() && file != "..", "shard name '",
          shard.file, "' must be a file's name alone");
    tokens += shard.tokens;
    documents += shard.documents;
    split.shards.push_back(std::move(shard));
  }
  check(tokens == split.tokens && documents == split.documents, "split '", name, "' says ",
        split.tokens, " tokens and ", split.documents, " documents, but its shards have ", tokens,
        " and ", documents);
  return split;
}

}  // namespace

nlohmann::ordered_json Manifest::to_json() const {
  Json json = {
      {"kind", kKind},
      {"version", kDatasetVersion},
      {"hash", ""},
      {"vocab_size", vocab_size},
      {"token_dtype", token_bytes == 2 ? "uint16" : "uint32"},
      {"end_of_text", end_of_text},
      {"tokenizer_hash", tokenizer_hash},
      {"validation_share", validation_share},
      {"seed", seed},
      {"splits", {{"train", split_to_json(train)}, {"validation", split_to_json(validation)}}},
      {"sources", Json::array()}};
  const std::string text = json.dump();
  json["hash"] = hash_bytes(std::as_bytes(std::span(text)));
  json["sources"] = sources;
  return json;
}

std::string Manifest::hash() const { return to_json().at("hash").get<std::string>(); }

Manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kDatasetFile;
  check(std::filesystem::is_directory(folder), folder.string(),
        ": no such data set (a folder that prepare made)");
  check(std::filesystem::exists(path), folder.string(), ": no data set: it has no ", kDatasetFile);
  const std::string text = read_file(path, kLargestManifest);
  const std::string name = path.string();
  Manifest manifest;
  try {
    const Json json = Json::parse(text);
    check(json.is_object() && json.value("kind", "") == kKind, "'kind' must be \"", kKind, "\"");
    check(count(json, "version") == kDatasetVersion, "version must be ", kDatasetVersion,
          " but is ", json.at("version").dump());
    const std::string dtype = json.at("token_dtype").get<std::string>();
    check(dtype == "uint16" || dtype == "uint32", "'token_dtype' must be uint16 or uint32 but is ",
          dtype);
    manifest = {.vocab_size = count(json, "vocab_size"),
                .token_bytes = dtype == "uint16" ? 2 : 4,
                .end_of_text = json.at("end_of_text").get<int32_t>(),
                .tokenizer_hash = json.at("tokenizer_hash").get<std::string>(),
                .train = split_from_json(json.at("splits").at("train"), "train"),
                .validation = split_from_json(json.at("splits").at("validation"), "validation"),
                .validation_share = json.at("validation_share").get<double>(),
                .seed = json.at("seed").get<int64_t>(),
                .sources = json.at("sources").get<std::vector<std::string>>()};
    const std::string said = json.at("hash").get<std::string>(), found = manifest.hash();
    check(said == found, "changed or damaged: its hash must be ", said, " but is ", found);
  } catch (const Error& error) {
    fail(name, ": ", error.what());
  } catch (const nlohmann::json::exception& error) {
    std::string what = error.what();
    if (const size_t space = what.find("] "); space != std::string::npos)
      what = what.substr(space + 2);
    fail(name, ": damaged or no data set: ", what.substr(0, 160));
  }
  return manifest;
}

}  // namespace pointwork
