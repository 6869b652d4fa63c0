#pragma once
// GPT-2's printable stand-ins for bytes: tokenizer.json holds text, tokens are bytes.

#include <optional>
#include <string>
#include <string_view>

namespace pointwork {

// Printable ASCII and Latin-1 stand for themselves, the other 68 bytes for U+0100 and what follows.
std::string to_stand_ins(std::string_view bytes);

// The bytes, or nothing where a character is not a stand-in.
std::optional<std::string> from_stand_ins(std::string_view text);

}  // namespace pointwork
