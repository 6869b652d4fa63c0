#include "pointwork/files/manifest.h"

#include <algorithm>
#include <map>

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/files/file.h"
#include "pointwork/files/hash.h"
#include "pointwork/files/strict_json.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr size_t kDeepest = 32;
constexpr uint64_t kLongestManifest = 4 << 20;

std::vector<std::string> files_of(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).generic_string();
    if (!entry.is_directory() && name != kManifestFile) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Its own hash is of the document without it.
std::string hash_of(Json document) {
  document.erase("hash");
  const std::string text = document.dump();
  return hash_bytes(std::as_bytes(std::span(text)));
}

// The one text of a document: a byte more or less is damage too.
std::string text_of(const Json& document) { return document.dump(2) + "\n"; }

bool safe_name(const std::string& name) {
  const fs::path path(name);
  return !name.empty() && path.is_relative() &&
         std::none_of(path.begin(), path.end(), [](const fs::path& p) { return p == ".."; });
}

std::string check_file(const fs::path& path, const std::string& name, uint64_t size,
                       const std::string& hash) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return name + " is missing";
  const uint64_t found = fs::file_size(path, error);
  if (found != size) return concat(name, " has ", found, " bytes, must have ", size);
  try {
    if (hash_file(path) != hash)
      return name + " is damaged: its content does not have the hash it was saved with";
  } catch (const Error& reason) {
    return reason.what();
  }
  return "";
}

}  // namespace

void write_manifest(const fs::path& folder, const Json& facts) {
  Json document = {{"version", kVersion}, {"facts", facts}, {"files", Json::object()}};
  for (const std::string& name : files_of(folder)) {
    document["files"][name] = {{"bytes", fs::file_size(folder / name)},
                               {"xxh3_128", hash_file(folder / name)}};
  }
  document["hash"] = hash_of(document);
  write_file(folder / kManifestFile, text_of(document));
}

ManifestReport verify_manifest(const fs::path& folder) {
  ManifestReport report;
  const fs::path path = folder / kManifestFile;
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    report.problems.push_back(concat(kManifestFile, " is missing"));
    return report;
  }
  std::map<std::string, std::pair<uint64_t, std::string>> files;
  try {
    const std::string content = read_file(path, kLongestManifest);
    const std::string fault = json_fault(content, kDeepest);
    check(fault.empty(), "it ", fault);
    const Json document = Json::parse(content);
    check(content == text_of(document) && document.at("hash") == hash_of(document),
          "its content does not have the hash it was saved with");
    check(document.at("version") == kVersion, "version ", document.at("version").dump(),
          " is not the known ", kVersion);
    report.facts = document.at("facts");
    for (const auto& [name, entry] : document.at("files").items()) {
      check(safe_name(name), "it names a file outside the folder");
      files[name] = {entry.at("bytes").get<uint64_t>(), entry.at("xxh3_128").get<std::string>()};
    }
  } catch (const std::exception& reason) {
    const bool ours = dynamic_cast<const Error*>(&reason) != nullptr;
    report.problems.push_back(concat(
        kManifestFile, " is damaged: ", ours ? reason.what() : "not the JSON it was saved as"));
    return report;
  }
  for (const auto& [name, expected] : files) {
    const std::string problem = check_file(folder / name, name, expected.first, expected.second);
    if (!problem.empty()) report.problems.push_back(problem);
    report.bytes += expected.first;
  }
  for (const std::string& name : files_of(folder)) {
    if (!files.count(name)) report.problems.push_back(printable(name) + " does not belong to it");
  }
  return report;
}

}  // namespace pointwork
