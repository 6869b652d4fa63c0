#pragma once
// What does not fit together in a routed branch.

#include <string>
#include <vector>

#include "pointwork/config/config.h"

namespace pointwork {

// Every problem of `routed`, whose path is "branch.NAME".
std::vector<std::string> route_problems(const std::string& path, const Config& config,
                                        const RoutedConfig& routed);

}  // namespace pointwork
