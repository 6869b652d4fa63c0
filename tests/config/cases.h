#pragma once
// A smallest config, and what is wrong with one.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pointwork/config/config.h"

namespace pointwork::test {

// The grammar of a Mixture-of-Depths model; line 1 is [model]. `model` and `rest` are added.
inline std::string mod_toml(const std::string& model = "", const std::string& rest = "") {
  return "[model]\n" + model + R"(
layers = ["dense", "mod"]
[branch.attention]
kind = "attention"
[branch.mlp]
kind = "mlp"
[branch.dense]
kind = "chain"
of = ["attention", "mlp"]
[branch.mod]
kind = "routed"
of = "dense"
route = { capacity = 0.125 }
)" + rest;
}

inline Config parse(const std::string& toml, const std::vector<Override>& overrides = {}) {
  return parse_config(toml, "test.toml", overrides);
}

// All problems of a config; fails the test where it has none, or throws anything else.
inline std::vector<std::string> problems_of(const std::string& toml,
                                            const std::vector<Override>& overrides = {}) {
  try {
    parse(toml, overrides);
  } catch (const ConfigError& error) {
    const std::string line = error.what();
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    EXPECT_EQ(line.rfind("test.toml: ", 0), 0u) << line;
    for (const std::string& one : error.problems)
      EXPECT_NE(line.find(one), std::string::npos) << one << " not in " << line;
    return error.problems;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "not a ConfigError: " << error.what();
    return {};
  }
  ADD_FAILURE() << "no problem was found in\n" << toml;
  return {};
}

using Strings = std::vector<std::string>;

}  // namespace pointwork::test
