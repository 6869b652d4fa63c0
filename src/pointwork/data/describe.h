#pragma once
// What a data set is, and whether it is whole.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pointwork {

struct DatasetReport {
  nlohmann::ordered_json facts = nlohmann::ordered_json::object();
  std::vector<std::string> problems;  // one line each; empty: everything is as it was written
};

// From dataset.json alone.
DatasetReport describe_dataset(const std::filesystem::path& folder);

// Reads every shard, compares sizes and hashes, checks ids and places of documents, and that the
// tokenizer is the one the tokens were made with. No Error for damage: it is in `problems`.
DatasetReport verify_dataset(const std::filesystem::path& folder);

}  // namespace pointwork
