#pragma once
// What Unicode says of well-formed text.

#include <cstdint>
#include <string>
#include <string_view>

namespace pointwork {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

std::string normal_form(std::string_view text, NormalForm form);

// Character by character, as Rust does: no final sigma, U+0130 becomes two.
std::string lowercase(std::string_view text);

bool is_white_space(uint32_t code);
bool is_word_character(uint32_t code);  // letters, marks, decimal digits, joiners, connectors

// The members of a regular expression's set of all punctuation: ASCII's, and Unicode's as of
// version 8, which is what Hugging Face's Punctuation divides by.
std::string punctuation_set();

// How many bytes of white space text begins or ends with.
size_t white_space_before(std::string_view text);
size_t white_space_after(std::string_view text);
// The character that ends at the end of `text`, which is not empty.
uint32_t last_character(std::string_view text);

}  // namespace pointwork
