#include "pointwork/text/stand_in.h"

#include <array>
#include <cstdint>

#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

constexpr uint32_t kFirst = 256, kCodes = kFirst + 68;

struct Codes {
  std::array<uint16_t, 256> code_of{};
  std::array<int16_t, kCodes> byte_of{};
};

constexpr Codes make_codes() {
  Codes codes;
  codes.byte_of.fill(-1);
  uint32_t next = kFirst;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
    const uint32_t code = printable ? byte : next++;
    codes.code_of[byte] = static_cast<uint16_t>(code);
    codes.byte_of[code] = static_cast<int16_t>(byte);
  }
  return codes;
}

constexpr Codes kTable = make_codes();

}  // namespace

std::string to_stand_ins(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 2);
  for (const char c : bytes) {
    const uint32_t code = kTable.code_of[static_cast<unsigned char>(c)];
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else {
      text += static_cast<char>(0xC0 | code >> 6);
      text += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
  return text;
}

std::optional<std::string> from_stand_ins(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Character c = utf8_character(text, at);
    if (c.length == 0 || c.code >= kCodes || kTable.byte_of[c.code] < 0) return std::nullopt;
    bytes += static_cast<char>(kTable.byte_of[c.code]);
    at += c.length;
  }
  return bytes;
}

}  // namespace pointwork
