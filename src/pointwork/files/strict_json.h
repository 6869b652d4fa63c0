#pragma once
// JSON from outside, before it becomes a tree.

#include <string>
#include <string_view>

namespace pointwork {

// Why `text` must not be parsed, or "": "is not valid JSON", "has the key 'x' twice", "is nested
// more than 8 deep". The parser lets duplicates and depth pass, and whatever follows a NUL; but a
// value would be lost, and a tree of a million levels ends the stack of whatever walks it. Stops at
// the first fault.
std::string json_fault(std::string_view text, size_t deepest);

}  // namespace pointwork
