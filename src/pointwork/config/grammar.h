#pragma once
// What walks over the grammar share.

#include <string>
#include <vector>

#include "pointwork/config/model_config.h"

namespace pointwork {

// The names that a branch is made of, in order; a leaf has none, and an absent name is none.
std::vector<std::string> children_of(const BranchConfig& branch);

}  // namespace pointwork
