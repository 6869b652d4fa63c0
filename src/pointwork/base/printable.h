#pragma once
// Text from outside, as a message may show it.

#include <string>
#include <string_view>

namespace pointwork {

// One line of valid UTF-8 without control characters, of at most `longest` bytes: line ends and
// tabs become spaces, what cannot be shown '?', and what is cut off "...".
std::string printable(std::string_view text, size_t longest = 80);

}  // namespace pointwork
