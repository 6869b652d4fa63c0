#pragma once
// What happens to text before anything else: the normalizer of a tokenizer.json.

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pointwork/text/charsmap.h"
#include "pointwork/text/pattern.h"
#include "pointwork/text/settings.h"
#include "pointwork/text/unicode.h"

namespace pointwork {

class Normalizer {
 public:
  Normalizer() = default;                      // leaves text as it is
  explicit Normalizer(const Settings& given);  // Error on a type that is not supported

  bool empty() const { return steps_.empty(); }
  std::string operator()(std::string text) const;          // well-formed text
  const std::string& meaning() const { return meaning_; }  // all that decides what it does
  std::shared_ptr<const CharsMap> charsmap() const;        // of its only Precompiled, or nullptr

 private:
  void add(const Settings& given);

  struct Prepend {
    std::string text;
  };
  struct Replace {
    Pattern pattern;
    std::string content;
  };
  struct Strip {
    bool left, right;
  };
  struct Lowercase {};
  struct Precompiled {
    std::shared_ptr<const CharsMap> map;
  };
  using Step = std::variant<NormalForm, Prepend, Replace, Strip, Lowercase, Precompiled>;
  std::vector<Step> steps_;
  std::string meaning_;
};

// `content` in the place of every match.
std::string replaced(std::string_view text, const Pattern& pattern, const std::string& content);

// The "pattern" of Replace and Split: {"String": text} or {"Regex": expression}.
Pattern read_pattern(const Settings& given, std::string& meaning);

}  // namespace pointwork
