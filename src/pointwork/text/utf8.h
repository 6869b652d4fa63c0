#pragma once
// One character of UTF-8 at a time (The Unicode Standard, table 3-7).

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pointwork {

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct Utf8Character {
  uint32_t code = 0;    // of the character
  uint32_t length = 0;  // its bytes; 0: no well-formed character stands there, and then
  uint32_t bad = 0;     // the bytes of the ill-formed run (its maximal subpart), at least 1
  bool cut = false;     // and whether the text ended before it could become a character
};

// What stands at `at`, which is less than text.size().
inline Utf8Character utf8_character(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {.code = lead, .length = 1};
  uint32_t more = 0, code = 0;
  unsigned char low = 0x80, high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    more = 1;
    code = lead & 0x1Fu;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    more = 2;
    code = lead & 0x0Fu;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    more = 3;
    code = lead & 0x07u;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {.bad = 1};
  }
  for (uint32_t i = 1; i <= more; ++i) {
    if (at + i >= text.size()) return {.bad = i, .cut = true};
    if (byte(i) < low || byte(i) > high) return {.bad = i};
    code = code << 6 | (byte(i) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {.code = code, .length = more + 1};
}

}  // namespace pointwork
