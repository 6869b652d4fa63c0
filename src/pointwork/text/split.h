#pragma once
// GPT-2's split pattern, the first half of encoding: no token crosses the end of a piece.
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// Letters, numbers and white space are those of PCRE2's Unicode, but U+180E is no white space, as
// with other engines; so only letters that Unicode has since been given may split otherwise. Any
// bytes can be split: a byte that belongs to no well-formed character counts as a symbol, so text
// splits as it would with U+FFFD in the place of each such byte.

#include <cstddef>
#include <string_view>

namespace pointwork {

// Where the piece that begins at `at` ends; `at` is less than text.size(). Pieces depend on what
// follows them, never on what came before.
size_t piece_end(std::string_view text, size_t at);

}  // namespace pointwork
