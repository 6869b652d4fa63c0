#include "pointwork/text/unicode.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <sstream>

#include "pointwork/base/check.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

const icu::Normalizer2& normalizer_of(NormalForm form) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* found = nullptr;
  switch (form) {
    case NormalForm::kNfc:
      found = icu::Normalizer2::getNFCInstance(error);
      break;
    case NormalForm::kNfd:
      found = icu::Normalizer2::getNFDInstance(error);
      break;
    case NormalForm::kNfkc:
      found = icu::Normalizer2::getNFKCInstance(error);
      break;
    case NormalForm::kNfkd:
      found = icu::Normalizer2::getNFKDInstance(error);
      break;
  }
  check(U_SUCCESS(error) && found != nullptr,
        "ICU has no data for normal forms: ", u_errorName(error));
  return *found;
}

size_t last_begin(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && text.size() - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80)
    --at;
  return at;
}

}  // namespace

std::string normal_form(std::string_view text, NormalForm form) {
  constexpr size_t kLongest = size_t{1} << 30;  // ICU counts in int32
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), is_ascii)) return std::string(text);
  check(text.size() <= kLongest, "text of ", text.size(), " bytes is too long to normalise");
  UErrorCode error = U_ZERO_ERROR;
  std::string out;
  icu::StringByteSink<std::string> sink(&out, static_cast<int32_t>(text.size()));
  normalizer_of(form).normalizeUTF8(
      0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, nullptr, error);
  check(U_SUCCESS(error), "ICU cannot normalise text: ", u_errorName(error));
  return out;
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Character c = utf8_character(text, at);
    if (c.length == 0) {
      out += text[at++];
      continue;
    }
    at += c.length;
    constexpr uint32_t kDottedI = 0x130;
    append_utf8(
        c.code == kDottedI ? 'i' : static_cast<uint32_t>(u_tolower(static_cast<UChar32>(c.code))),
        out);
    if (c.code == kDottedI) append_utf8(0x307, out);
  }
  return out;
}

bool is_white_space(uint32_t code) { return u_isUWhiteSpace(static_cast<UChar32>(code)) != 0; }

bool is_word_character(uint32_t code) {
  const auto c = static_cast<UChar32>(code);
  return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) != 0 ||
         u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) != 0 ||
         (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

std::string punctuation_set() {
  std::ostringstream set;
  constexpr UChar32 kOnce = 0x166D;  // a symbol since version 12
  set << R"(!-\/:-@\[-`{-~)" << std::hex;
  for (UChar32 c = 0x80; c < 0x110000; ++c) {
    UVersionInfo age;
    u_charAge(c, age);
    if (((U_GET_GC_MASK(c) & U_GC_P_MASK) != 0 && age[0] <= 8) || c == kOnce)
      set << "\\x{" << c << '}';
  }
  return set.str();
}

uint32_t last_character(std::string_view text) {
  return utf8_character(text, last_begin(text)).code;
}

size_t white_space_before(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Character c = utf8_character(text, at);
    if (c.length == 0 || !is_white_space(c.code)) break;
    at += c.length;
  }
  return at;
}

size_t white_space_after(std::string_view text) {
  const size_t size = text.size();
  while (!text.empty() && is_white_space(last_character(text)))
    text = text.substr(0, last_begin(text));
  return size - text.size();
}

}  // namespace pointwork
