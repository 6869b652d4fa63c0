#pragma once
// The nearest right spelling of a misspelt name.

#include <string>
#include <string_view>
#include <vector>

namespace pointwork {

// The candidate with the least edit distance (transpositions count 1), or "" if none is within a third of the length.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

// "; did you mean 'x'?" or "".
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace pointwork
