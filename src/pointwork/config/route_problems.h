#pragma once
// What does not fit together in a routed branch, and in attention whose weights are routed.

#include <string>
#include <vector>

#include "pointwork/config/config.h"

namespace pointwork {

// Every problem of `routed`, whose path is "branch.NAME".
std::vector<std::string> route_problems(const std::string& path, const Config& config,
                                        const RoutedConfig& routed);
std::vector<std::string> route_problems(const std::string& path, const Config& config,
                                        const AttentionConfig& attention);

// Routers that the place they stand in does not suit. For a config without cycles.
std::vector<std::string> place_problems(const Config& config);

}  // namespace pointwork
