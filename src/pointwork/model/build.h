#pragma once
// The grammar, read: the only code that looks at a branch's kind.

#include "pointwork/config/config.h"
#include "pointwork/nn/branch.h"

namespace pointwork {

// The branch that `name` names in config.branch; `path` is its place in the module tree and names
// its random streams.
BranchPtr build_branch(const Config& config, const std::string& name, const std::string& path);

}  // namespace pointwork
