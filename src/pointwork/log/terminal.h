#pragma once
// What a stream can show, and text measured in its columns.

#include <cstdio>
#include <string>
#include <string_view>

namespace pointwork {

bool is_terminal(std::FILE* stream);

// Columns of the terminal behind `stream`; where it tells none, $COLUMNS, else 80. At least 20.
int terminal_width(std::FILE* stream);

// Whether escape sequences and rewriting in place are welcome: a terminal that is not `dumb`, with
// NO_COLOR unset or empty.
bool use_colour(std::FILE* stream);

// `text` in a colour of the 256-colour palette, with the reset after it; as it is where `colour` is
// negative.
std::string coloured(std::string_view text, int colour);

// Length in bytes of the character at text[at]: 1 to 4, or 0 where the bytes there begin no
// well-formed UTF-8 character.
size_t character_length(std::string_view text, size_t at);

// Columns that UTF-8 `text` takes: 2 for wide characters, 0 for combining ones; ill-formed bytes
// take 1 each. No escapes in it.
int display_width(std::string_view text);

// `text` cut to at most `columns`, never inside a character; the last column is then "…".
std::string fit(std::string_view text, int columns);

// What stands on the screen for one character, or for a byte that begins none: signs instead of
// control characters, C1 ones included, which could steer the terminal; "\n" and "\t" stay.
std::string safe_character(std::string_view character);

// One line safe to show: control characters become spaces.
std::string one_line(std::string_view text);

}  // namespace pointwork
