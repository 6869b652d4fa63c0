#pragma once
// One self-contained HTML page about one or more runs: curves, routing, layers, speed, samples.
// It needs no network, and no JavaScript but for what hovering tells.

#include <filesystem>
#include <string>
#include <vector>

namespace pointwork {

// The page. A file that a run folder does not have drops its section, with a sentence that says so.
// Error (one line) if a path is no run folder, or if a file in it is damaged.
std::string report_html(const std::vector<std::filesystem::path>& runs);

}  // namespace pointwork
