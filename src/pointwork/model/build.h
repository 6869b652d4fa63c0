#pragma once
// The grammar, read: the only code that looks at a branch's kind.

#include "pointwork/config/config.h"
#include "pointwork/nn/branch.h"

namespace pointwork {

// What stands around a branch asks of it.
struct BuildOptions {
  int64_t experts = 0;  // 0: no expert dimension
  bool norm = true;     // inside; false: the branch around it has it
  int64_t rounds = 1;   // of the nearest repeat around
};

// The branch that `name` names in config.branch; `path` is its place in the module tree and names
// its random streams. Error where it is no mlp but is asked for experts, or for none of its norm.
BranchPtr build_branch(const Config& config, const std::string& name, const std::string& path,
                       const BuildOptions& options = {});

}  // namespace pointwork
