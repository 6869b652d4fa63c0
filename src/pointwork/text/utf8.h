#pragma once
// One character of UTF-8 at a time (The Unicode Standard, table 3-7).

#include <cstddef>
#include <cstdint>
#include <string>
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

// A code point up to U+10FFFF that is no surrogate.
inline void append_utf8(uint32_t code, std::string& out) {
  const auto tail = [&](uint32_t shift) {
    out += static_cast<char>(0x80 | (code >> shift & 0x3F));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

inline bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Character c = utf8_character(text, at);
    if (c.length == 0) return false;
    at += c.length;
  }
  return true;
}

// The text with one U+FFFD in the place of each ill-formed run.
inline std::string mended(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Character c = utf8_character(text, at);
    out += c.length > 0 ? text.substr(at, c.length) : kReplacement;
    at += c.length > 0 ? c.length : c.bad;
  }
  return out;
}

}  // namespace pointwork
