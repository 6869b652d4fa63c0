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

// Branches "attention", "dense" and "mlp", whose further keys may follow.
inline const std::string kDense = R"(
[branch.attention]
kind = "attention"
num_attention_heads = 4
[branch.dense]
kind = "chain"
of = ["attention", "mlp"]
[branch.mlp]
kind = "mlp"
)";

// `body` holds the layers key and the branch tables; the rest is a model of width 32 with 4 layers,
// 61 tokens and 24 positions.
Config small_config(const std::string& body, const std::string& model_keys = "");

// Dense and routed, one for each option that has a meaning of its own.
std::vector<NamedConfig> all_configs();
// Rounds of modules at k = 1, 2 and all of them, under both meanings of SKIP.
std::vector<NamedConfig> module_counts();
Config config_named(const std::string& name);

}  // namespace pointwork::test
