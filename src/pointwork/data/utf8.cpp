#include "pointwork/data/utf8.h"

#include <cstring>

#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

// Length of the character at `at`, or 0; then `bad` is the length of the ill-formed run, or NUL's.
size_t character_at(std::string_view text, size_t at, size_t& bad) {
  const Utf8Character c = utf8_character(text, at);
  bad = c.length == 0 ? c.bad : 1;
  return c.length == 1 && c.code == 0 ? 0 : c.length;
}

bool eight_plain(const char* text) {
  uint64_t word;
  std::memcpy(&word, text, sizeof word);
  constexpr uint64_t kHigh = 0x8080808080808080u, kOne = 0x0101010101010101u;
  return ((word | ((word - kOne) & ~word)) & kHigh) == 0;
}

}  // namespace

size_t first_invalid(std::string_view text) {
  size_t at = 0, bad = 0;
  while (at < text.size()) {
    if (at + 8 <= text.size() && eight_plain(text.data() + at)) {
      at += 8;
      continue;
    }
    const size_t length = character_at(text, at, bad);
    if (length == 0) return at;
    at += length;
  }
  return at;
}

std::string replace_invalid(std::string_view text, uint64_t& replaced) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t good = first_invalid(text);
    out.append(text.substr(0, good));
    if (good == text.size()) break;
    size_t bad = 0;
    character_at(text, good, bad);
    out.append(kReplacement);
    ++replaced;
    text.remove_prefix(good + bad);
  }
  return out;
}

bool ends_in_white_space(std::string_view text, size_t end) {
  const unsigned char last = static_cast<unsigned char>(text[end - 1]);
  if (last < 0x80) return last <= ' ';
  if (end >= 2 && text[end - 2] == '\xC2') return last == 0x85 || last == 0xA0;
  if (end < 3) return false;
  const std::string_view three = text.substr(end - 3, 3);
  if (three.starts_with("\xE2\x80"))
    return last <= 0x8A || last == 0xA8 || last == 0xA9 || last == 0xAF;
  return three == "\xE1\x9A\x80" || three == "\xE1\xA0\x8E" || three == "\xE2\x81\x9F" ||
         three == "\xE3\x80\x80";
}

}  // namespace pointwork
