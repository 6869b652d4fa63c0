#include "pointwork/base/printable.h"

namespace pointwork {
namespace {

// Bytes of the character that `text` begins with, 0 where it begins with none (Unicode 15, table
// 3-7).
size_t character_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const size_t count = lead < 0x80                   ? 1
                       : lead >= 0xc2 && lead < 0xe0 ? 2
                       : lead >= 0xe0 && lead < 0xf0 ? 3
                       : lead >= 0xf0 && lead < 0xf5 ? 4
                                                     : 0;
  if (count == 0 || count > text.size()) return 0;
  for (size_t i = 1; i < count; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) >= 0xa0)) return 0;
  if ((lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) >= 0x90)) return 0;
  return count;
}

bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 2 && first == 0xc2)
    return static_cast<unsigned char>(character[1]) < 0xa0;
  return character.size() == 1 && (first < 0x20 || first == 0x7f);
}

}  // namespace

std::string printable(std::string_view text, size_t longest) {
  constexpr std::string_view kCut = "...";
  std::string shown;
  size_t fits = 0;  // bytes of `shown` that leave room for kCut
  for (size_t at = 0; at < text.size();) {
    const size_t count = character_bytes(text.substr(at));
    const std::string_view character = text.substr(at, count ? count : 1);
    at += character.size();
    if (character == "\n" || character == "\r" || character == "\t")
      shown += ' ';
    else if (count == 0 || is_control(character))
      shown += '?';
    else
      shown += character;
    if (shown.size() > longest) {
      shown.resize(fits);
      return shown.append(kCut.substr(0, longest - fits));
    }
    if (shown.size() + kCut.size() <= longest) fits = shown.size();
  }
  return shown;
}

}  // namespace pointwork
