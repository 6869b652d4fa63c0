#pragma once
// SentencePiece's precompiled_charsmap: rules that replace byte sequences, as a little-endian
// uint32 size, a double array of that many bytes (Darts-clone's: uint32 units), and the
// replacements, each ended by a zero byte.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pointwork {

class CharsMap {
 public:
  explicit CharsMap(std::string blob);  // Error where its sizes do not fit

  struct Rule {
    size_t length;  // bytes of the text that it replaces
    std::string_view replacement;
  };
  // The longest rule that the text begins with, as SentencePiece takes it.
  std::optional<Rule> longest(std::string_view text) const;

  // As Hugging Face's Precompiled does: a grapheme cluster below six bytes becomes what the
  // shortest rule that it begins with says, else each of its characters does.
  std::string replace_in_clusters(std::string_view text) const;

  const std::string& blob() const { return blob_; }

 private:
  template <class Take>
  void prefixes(std::string_view text, const Take& take) const;
  std::optional<Rule> shortest(std::string_view text) const;
  std::string_view replacement(uint32_t offset) const;

  std::string blob_;
  std::vector<uint32_t> units_;
};

}  // namespace pointwork
