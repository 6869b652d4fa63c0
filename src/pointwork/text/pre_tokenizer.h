#pragma once
// Where text is divided before the model sees it: the pre_tokenizer of a tokenizer.json.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pointwork/text/pattern.h"
#include "pointwork/text/settings.h"

namespace pointwork {

// What becomes of what a pattern matches.
enum class Behavior : uint8_t {
  kIsolated,
  kRemoved,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous
};

class PreTokenizer {
 public:
  PreTokenizer() = default;                      // one piece
  explicit PreTokenizer(const Settings& given);  // Error on a type that is not supported

  // Whether pieces come out as bytes for a byte-level model.
  bool byte_level() const { return byte_level_; }
  // Whether it is ByteLevel with GPT-2's pattern and no more, so that piece_end() says the same.
  bool plain() const;
  const std::string& meaning() const { return meaning_; }  // all that decides what it does

  // Divides pieces further, before each `mark` that follows something else: for models whose tokens
  // never cross such a place, so that ids stay what they are.
  void cut_before(std::string mark);

  // Calls take(piece) for each piece of `text`, which is well-formed, in order. `first`: the text
  // stands at the beginning of all.
  using Take = std::function<void(std::string_view)>;
  void divide(std::string_view text, bool first, const Take& take) const;

 private:
  struct Split {
    Pattern pattern;
    Behavior behavior;
    bool invert;
  };
  struct ByteLevel {
    bool prefix_space, pattern;
    bool spells = false;  // into stand-ins, because more steps follow
  };
  enum class Scheme : uint8_t { kAlways, kNever, kFirst };
  struct Metaspace {
    std::string replacement;
    Scheme scheme;
    bool split;
    Pattern mark;
  };
  struct Cut {
    std::string mark;
  };
  using Step = std::variant<Split, ByteLevel, Metaspace, Cut>;

  void add(const Settings& given);
  void add_byte_level(const Settings& given);
  void add_metaspace(const Settings& given);
  void add_split(const Pattern& pattern, Behavior behavior, bool invert = false);
  void run(size_t step, std::string_view text, bool first, const Take& take) const;
  void run_byte_level(const ByteLevel& step, size_t next, std::string_view text,
                      const Take& take) const;
  void run_metaspace(const Metaspace& step, size_t next, std::string_view text, bool first,
                     const Take& take) const;

  void run_cut(const Cut& step, size_t next, std::string_view text, const Take& take) const;

  std::vector<Step> steps_;
  std::string meaning_;
  bool byte_level_ = false, spelled_ = false;
};

}  // namespace pointwork
