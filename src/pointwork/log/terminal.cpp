#include "pointwork/log/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace pointwork {
namespace {

struct Range {
  uint32_t first, last;
};

// Blocks of combining marks, joiners and variation selectors.
constexpr Range kZeroWidth[] = {
    {0x0300, 0x036F},  {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
    {0x093C, 0x093C},  {0x0941, 0x0948}, {0x094D, 0x094D}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A},
    {0x0E47, 0x0E4E},  {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x202A, 0x202E},
    {0x2060, 0x2064},  {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF},
    {0xE0100, 0xE01EF}};

// Blocks that Unicode's EastAsianWidth.txt has as wide or full-width.
constexpr Range kWide[] = {{0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC},
                           {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},
                           {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97C},
                           {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
                           {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x17000, 0x18CD5},
                           {0x1B000, 0x1B2FB}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF},
                           {0x1F900, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD}};

template <size_t N>
bool within(const Range (&ranges)[N], uint32_t point) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [&](const Range& r) { return r.first <= point && point <= r.last; });
}

uint32_t code_point(std::string_view text, size_t at, size_t length) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if (length == 1) return byte(0);
  uint32_t point = byte(0) & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) point = point << 6 | (byte(i) & 0x3Fu);
  return point;
}

int columns_of(std::string_view text, size_t at, size_t length) {
  if (length < 2) return 1;
  const uint32_t point = code_point(text, at, length);
  return within(kZeroWidth, point) ? 0 : within(kWide, point) ? 2 : 1;
}

}  // namespace

bool is_terminal(std::FILE* stream) {
  const int descriptor = fileno(stream);
  return descriptor >= 0 && isatty(descriptor) == 1;
}

int terminal_width(std::FILE* stream) {
  constexpr int kLeast = 20, kUsual = 80;
  winsize size{};
  const int descriptor = fileno(stream);
  if (descriptor >= 0 && ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return std::max<int>(kLeast, size.ws_col);
  }
  const char* columns = std::getenv("COLUMNS");
  const long told = columns ? std::strtol(columns, nullptr, 10) : 0;
  return told > 0 && told < 10000 ? std::max(kLeast, static_cast<int>(told)) : kUsual;
}

bool use_colour(std::FILE* stream) {
  const char* refused = std::getenv("NO_COLOR");
  if (refused && *refused) return false;
  const char* term = std::getenv("TERM");
  return is_terminal(stream) && term && *term && std::strcmp(term, "dumb") != 0;
}

std::string coloured(std::string_view text, int colour) {
  if (colour < 0) return std::string(text);
  return "\x1b[38;5;" + std::to_string(colour) + "m" + std::string(text) + "\x1b[0m";
}

size_t character_length(std::string_view text, size_t at) {
  if (at >= text.size()) return 0;
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) return 0;
  }
  const uint32_t point = code_point(text, at, length);
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  return overlong || surrogate || point > 0x10FFFF ? 0 : length;
}

int display_width(std::string_view text) {
  int columns = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_length(text, at);
    columns += columns_of(text, at, length);
    at += std::max<size_t>(1, length);
  }
  return columns;
}

std::string fit(std::string_view text, int columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns < 1) return "";
  int used = 0;
  size_t at = 0;
  while (true) {
    const size_t length = character_length(text, at);
    const int more = columns_of(text, at, length);
    if (used + more > columns - 1) return std::string(text.substr(0, at)) + "…";
    used += more;
    at += std::max<size_t>(1, length);
  }
}

std::string safe_character(std::string_view character) {
  constexpr const char* kReplacement = "\xEF\xBF\xBD";  // U+FFFD
  if (character_length(character, 0) == 0) return kReplacement;
  if (character.size() == 1) {
    const auto byte = static_cast<unsigned char>(character[0]);
    if (byte == '\n' || byte == '\t') return std::string(character);
    if (byte < 0x20) return {'\xE2', '\x90', static_cast<char>(0x80 + byte)};  // U+2400 + byte
    if (byte == 0x7F) return "␡";
  }
  if (character.size() == 2 && character[0] == '\xC2' &&
      static_cast<unsigned char>(character[1]) < 0xA0) {
    return kReplacement;
  }
  return std::string(character);
}

std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = ' ';
  }
  return line;
}

}  // namespace pointwork
