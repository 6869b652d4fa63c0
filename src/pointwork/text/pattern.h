#pragma once
// Patterns of tokenizer.json: what they match in well-formed text.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pointwork {

class Pattern {
 public:
  static Pattern regex(std::string_view expression);  // Oniguruma's syntax; Error by name
  static Pattern literal(std::string_view text);      // not empty
  static Pattern cluster();                           // one extended grapheme cluster (UAX 29)

  struct Match {
    size_t begin, end;
  };
  // The first match that begins at `at` or later. From several threads at once.
  std::optional<Match> find(std::string_view text, size_t at) const;

  // Every match, from left to right without overlap; one that is empty is none where the one before
  // ends.
  void each(std::string_view text, const std::function<void(Match)>& take) const;

 private:
  struct Code;
  static Pattern compiled(std::string_view expression, const std::string& translated);
  std::shared_ptr<const Code> code_;  // of a regular expression
  std::string literal_;
};

}  // namespace pointwork
