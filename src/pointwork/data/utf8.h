#pragma once
// Where text stops being text.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pointwork {

// Offset of the first byte that no well-formed UTF-8 text without NUL holds there (overlong forms,
// surrogates and values above U+10FFFF included), or text.size().
size_t first_invalid(std::string_view text);

// Replaces every maximal ill-formed run and every NUL by U+FFFD; adds their number to `replaced`.
std::string replace_invalid(std::string_view text, uint64_t& replaced);

// Whether the character before `end` is white space in any reading of GPT-2's split pattern
// (control characters and U+180E, on which readings differ, included).
bool ends_in_white_space(std::string_view text, size_t end);

}  // namespace pointwork
