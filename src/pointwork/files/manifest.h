#pragma once
// manifest.json: every file of a folder with its size and hash, so that damage, truncation, a
// missing file and a mixture of two folders are all noticed. It guards against damage, not against
// tampering.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pointwork {

inline constexpr const char* kManifestFile = "manifest.json";

// Hashes every file of `folder` and writes its manifest.json; `facts` stand in it beside the files.
void write_manifest(const std::filesystem::path& folder, const nlohmann::ordered_json& facts);

struct ManifestReport {
  nlohmann::ordered_json facts;       // what write_manifest was given
  std::vector<std::string> problems;  // one line each; empty: valid
  uint64_t bytes = 0;                 // of all files listed
};

// Reads and hashes every file listed. Files beside them are a problem too, the manifest's own
// damage is one.
ManifestReport verify_manifest(const std::filesystem::path& folder);

}  // namespace pointwork
