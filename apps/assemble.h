#pragma once
// convert --assemble: a dense model becomes the Mixture-of-Modules of a config.

#include <string>

#include "apps/common.h"

namespace pointwork::app {

struct AssembleFlags {
  std::string config, start = "scrambled";
  int64_t in_order_steps = 0;  // 0: the config's
  int64_t pool = 0;            // 0: as many layers as modules
};

void add_assemble_options(CLI::App& command, AssembleFlags& flags);

// Writes the checkpoint `to`, which must not be there unless `force`.
int assemble(const AssembleFlags& flags, const std::string& from, const std::string& to, bool force,
             const Common& common);

}  // namespace pointwork::app
