#pragma once
// dataset.json: what a data set's folder holds.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pointwork/data/shard.h"

namespace pointwork {

inline constexpr int kDatasetVersion = 1;
inline constexpr const char* kDatasetFile = "dataset.json";

struct SplitManifest {
  int64_t tokens = 0;  // end-of-text tokens included
  int64_t documents = 0;
  int64_t source_bytes = 0;  // of the text the tokens stand for, without marks between documents
  std::vector<ShardInfo> shards;
};

struct Manifest {
  int64_t vocab_size = 0;
  int token_bytes = 2;
  int32_t end_of_text = 0;
  std::string tokenizer_hash;
  SplitManifest train, validation;
  double validation_share = 0;  // as asked for
  int64_t seed = 0;             // of the choice of validation documents
  std::vector<std::string> sources;

  // Of everything but the sources' names: the same data prepared elsewhere has the same hash.
  std::string hash() const;
  nlohmann::ordered_json to_json() const;
};

// FOLDER/dataset.json. Error where it is missing, damaged (it holds its own hash), of another
// version, or contradicts itself.
Manifest read_manifest(const std::filesystem::path& folder);

}  // namespace pointwork
