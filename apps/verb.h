#pragma once
// What every verb shares: common options, and how a verb is registered. cli.md's contract is kept
// here.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "apps/command_line.h"
#include "pointwork/config/config.h"

namespace pointwork::app {

struct Common {
  std::string device = "auto";  // cpu | cuda | auto
  int threads = 0;              // 0: all cores
  int64_t seed = -1;            // -1: the config's
  std::string precision;        // "": the config's
  bool json = false;            // one JSON document on standard output, nothing else there
  bool quiet = false;
  std::vector<Override> overrides;  // --section.key=value, in order
};

// A verb adds its own options to `command` and returns what runs it. Common options are already
// there, filled before the call.
using Run = std::function<int()>;

// Each apps/<verb>.cpp defines one; apps/main.cpp lists them.
Run add_tokenizer(CLI::App& command, Common& common);
Run add_prepare(CLI::App& command, Common& common);
Run add_train(CLI::App& command, Common& common);
Run add_sample(CLI::App& command, Common& common);
Run add_eval(CLI::App& command, Common& common);
Run add_logits(CLI::App& command, Common& common);
Run add_flops(CLI::App& command, Common& common);
Run add_inspect(CLI::App& command, Common& common);
Run add_verify(CLI::App& command, Common& common);
Run add_config(CLI::App& command, Common& common);
Run add_bench(CLI::App& command, Common& common);
Run add_report(CLI::App& command, Common& common);
Run add_convert(CLI::App& command, Common& common);
Run add_doctor(CLI::App& command, Common& common);

}  // namespace pointwork::app
