#pragma once
// What a path is, read wholly and checked.

#include "apps/common.h"

namespace pointwork::app {

struct Examination {
  std::string kind;  // "run", "checkpoint", "data set", "tokenizer", "safetensors"
  std::vector<std::string> problems;
  Json facts = Json::object();
};

// Error only where the path is none of these.
Examination examine(const std::filesystem::path& path);

}  // namespace pointwork::app
