#include "pointwork/text/decoder.h"

#include "pointwork/base/check.h"
#include "pointwork/text/normalizer.h"
#include "pointwork/text/tokenizer_file.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

size_t count_of(const Settings& given, const char* key) {
  const Settings::Json& number = given.at(key);
  constexpr int64_t kMost = 1000;
  if (!number.is_number_integer() || number.get<int64_t>() < 0 || number.get<int64_t>() > kMost)
    given.refuse(key, " must be a number up to ", kMost, ", found ", shown(number));
  return number.get<size_t>();
}

}  // namespace

std::optional<char> byte_of_token(std::string_view token) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const size_t high = kDigits.find(token[3]), low = kDigits.find(token[4]);
  if (high == kDigits.npos || low == kDigits.npos) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

Decoder::Decoder(const Settings& given) { add(given); }

void Decoder::add(const Settings& given) {
  const std::string type = given.type();
  if (type == "Sequence") {
    given.only_keys({"type", "decoders"});
    for (const Settings& one : given.list("decoders")) add(one);
    return;
  }
  if (byte_level_) given.refuse(type, " after ByteLevel is not supported");
  if (start_.times > 0 || start_.unspaced) given.refuse(type, " is not supported where it stands");
  meaning_ += type + ' ';
  if (type == "ByteLevel") {
    given.only_keys({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    if (!steps_.empty() || whole_) given.refuse("ByteLevel after others is not supported");
    byte_level_ = true;
  } else if (type == "Replace") {
    given.only_keys({"type", "pattern", "content"});
    if (whole_) given.refuse("Replace after Fuse is not supported");
    Pattern pattern = read_pattern(given, meaning_);
    steps_.emplace_back(Replace{std::move(pattern), given.text("content")});
    meaning_ += concat(given.text("content").size(), ':', given.text("content"), ' ');
  } else if (type == "ByteFallback") {
    given.only_keys({"type"});
    if (whole_) given.refuse("ByteFallback after Fuse is not supported");
    steps_.emplace_back(Bytes{});
  } else if (type == "Fuse") {
    given.only_keys({"type"});
    whole_ = true;
  } else if (type == "Strip") {
    add_strip(given);
  } else if (type == "Metaspace") {
    given.only_keys(
        {"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"});
    if (whole_) given.refuse("Metaspace after Fuse is not supported");
    steps_.emplace_back(Replace{Pattern::literal(given.text("replacement")), " "});
    start_.unspaced =
        given.flag("add_prefix_space", true) && given.text("prepend_scheme", "always") != "never";
    meaning_ += concat(given.text("replacement"), start_.unspaced, ' ');
  } else {
    given.refuse(type,
                 " is not supported, only ByteLevel, Metaspace, Replace, ByteFallback, Fuse, "
                 "Strip and Sequence");
  }
}

void Decoder::add_strip(const Settings& given) {
  given.only_keys({"type", "content", "start", "stop"});
  const Strip strip{given.text("content"), count_of(given, "start"), count_of(given, "stop")};
  if (strip.content.empty() || utf8_character(strip.content, 0).length != strip.content.size())
    given.refuse("content must be one character, found ", shown(strip.content));
  meaning_ += concat(strip.content, ' ', strip.left, ' ', strip.right, ' ');
  if (!whole_) {
    steps_.emplace_back(strip);
    return;
  }
  if (strip.right > 0) given.refuse("stop = ", strip.right, " after Fuse is not supported, only 0");
  start_.strip = strip.content;
  start_.times = strip.left;
}

std::string Decoder::bytes_of(std::string_view token) const {
  std::string bytes(token);
  for (const auto& step : steps_) {
    if (const auto* replace = std::get_if<Replace>(&step)) {
      bytes = replaced(bytes, replace->pattern, replace->content);
    } else if (const auto* strip = std::get_if<Strip>(&step)) {
      std::string_view left = bytes;
      for (size_t n = strip->left; n > 0 && left.starts_with(strip->content); --n)
        left.remove_prefix(strip->content.size());
      for (size_t n = strip->right; n > 0 && left.ends_with(strip->content); --n)
        left.remove_suffix(strip->content.size());
      bytes = std::string(left);
    } else if (const std::optional<char> byte = byte_of_token(bytes)) {
      bytes = std::string(1, *byte);
      break;  // it is text no more
    }
  }
  return bytes;
}

}  // namespace pointwork
