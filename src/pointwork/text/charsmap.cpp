#include "pointwork/text/charsmap.h"

#include <cstring>

#include "pointwork/base/check.h"
#include "pointwork/text/pattern.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

CharsMap::CharsMap(std::string blob) : blob_(std::move(blob)) {
  uint32_t bytes = 0;
  check(blob_.size() >= sizeof bytes, "precompiled_charsmap has ", blob_.size(),
        " bytes, too few for its size");
  std::memcpy(&bytes, blob_.data(), sizeof bytes);
  const size_t left = blob_.size() - sizeof bytes;
  check(bytes % 4 == 0 && bytes >= 4 && bytes <= left,
        "precompiled_charsmap says that its trie has ", bytes, " bytes, but ", left, " are left");
  check(bytes < left && blob_.back() == '\0',
        "precompiled_charsmap does not end with a zero byte after its replacements");
  units_.resize(bytes / 4);
  std::memcpy(units_.data(), blob_.data() + sizeof bytes, bytes);
}

std::string_view CharsMap::replacement(uint32_t at) const {
  const size_t begin = sizeof(uint32_t) + units_.size() * 4 + at;
  return begin < blob_.size() ? std::string_view(blob_.data() + begin) : std::string_view();
}

// Calls take(length, value) for each rule that the text begins with, the shortest first, until it
// says false. Damaged units lead nowhere.
template <class Take>
void CharsMap::prefixes(std::string_view text, const Take& take) const {
  size_t node = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const uint32_t byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size()) return;
    const uint32_t unit = units_[node];
    if (label(unit) != byte) return;
    node ^= offset(unit);
    if (node >= units_.size()) return;
    if (has_leaf(unit) && !take(i + 1, value(units_[node]))) return;
  }
}

std::optional<CharsMap::Rule> CharsMap::longest(std::string_view text) const {
  std::optional<Rule> found;
  prefixes(text, [&](size_t length, uint32_t at) {
    found = Rule{length, replacement(at)};
    return true;
  });
  return found;
}

std::optional<CharsMap::Rule> CharsMap::shortest(std::string_view text) const {
  std::optional<Rule> found;
  prefixes(text, [&](size_t length, uint32_t at) {
    found = Rule{length, replacement(at)};
    return false;
  });
  return found;
}

std::string CharsMap::replace_in_clusters(std::string_view text) const {
  static const Pattern cluster = Pattern::cluster();
  constexpr size_t kLongest = 6;
  std::string out;
  out.reserve(text.size());
  cluster.each(text, [&](Pattern::Match match) {
    const std::string_view whole = text.substr(match.begin, match.end - match.begin);
    if (whole.size() < kLongest) {
      if (const auto rule = shortest(whole)) {
        out += rule->replacement;
        return;
      }
    }
    for (size_t at = 0; at < whole.size();) {
      const std::string_view one = whole.substr(at, std::max(1u, utf8_character(whole, at).length));
      const auto rule = shortest(one);
      out += rule ? rule->replacement : one;
      at += one.size();
    }
  });
  return out;
}

}  // namespace pointwork
