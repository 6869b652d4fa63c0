#pragma once
// Small sentences of the grammar that the laws are tried on.

#include <string>
#include <vector>

#include "pointwork/config/config.h"

namespace pointwork::test {

struct NamedConfig {
  std::string name;
  Config config;
};

// `body` holds the layers key and the branch tables; the rest is a model of width 32 with 4 layers,
// 61 tokens and 24 positions.
Config small_config(const std::string& body, const std::string& model_keys = "");

// Dense and routed, one for each option that has a meaning of its own.
std::vector<NamedConfig> all_configs();
Config config_named(const std::string& name);

}  // namespace pointwork::test
