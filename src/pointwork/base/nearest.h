#pragma once
// The nearest right spelling of a misspelt name.

#include <string>
#include <string_view>
#include <vector>

namespace pointwork {

// The first candidate of the least edit distance (a transposition is one edit), or "" where none is
// within a third of the name's length, or one edit of a shorter name.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

// "; did you mean 'x'?" or "".
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace pointwork
