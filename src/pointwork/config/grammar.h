#pragma once
// What walks over the grammar share.

#include <string>
#include <vector>

#include "pointwork/config/config.h"

namespace pointwork {

// The names that a branch is made of, in order; a leaf has none, and an absent name is none.
std::vector<std::string> children_of(const BranchConfig& branch);

// The mlp that a routed branch routes, null where it is something else.
const MlpConfig* routed_mlp(const Config& config, const RoutedConfig& routed);

// Whether its norm stands outside, with norm = auto decided.
bool norm_outside(const Config& config, const RoutedConfig& routed);

}  // namespace pointwork
