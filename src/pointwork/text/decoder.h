#pragma once
// From tokens as a file spells them to the bytes they stand for: the decoder of a tokenizer.json.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pointwork/text/pattern.h"
#include "pointwork/text/settings.h"

namespace pointwork {

// "<0x0A>" is '\n'.
std::optional<char> byte_of_token(std::string_view token);

// What a text loses at its beginning.
struct TextStart {
  std::string strip = " ";  // what is cut from it,
  size_t times = 0;         // so often at most
  bool unspaced = false;    // the first token, where it is not an added one, has no spaces
  // As SentencePiece does: special tokens before it do not count; the first that is text loses one
  // `strip`, and if nothing is left of it, so may the next; only `whole` loses nothing.
  bool by_token = false;
  int32_t whole = -1;
};

class Decoder {
 public:
  explicit Decoder(const Settings& given);  // Error on a type that is not supported

  bool byte_level() const { return byte_level_; }
  std::string bytes_of(std::string_view token) const;  // wherever it stands but at the beginning
  const TextStart& start() const { return start_; }
  const std::string& meaning() const { return meaning_; }  // all that decides what it does

 private:
  struct Replace {
    Pattern pattern;
    std::string content;
  };
  struct Bytes {};
  struct Strip {
    std::string content;
    size_t left, right;
  };
  void add(const Settings& given);
  void add_strip(const Settings& given);

  std::vector<std::variant<Replace, Bytes, Strip>> steps_;  // for each token
  TextStart start_;
  std::string meaning_;
  bool byte_level_ = false;
  bool whole_ = false;  // Fuse was there: what follows it is for the whole text
};

}  // namespace pointwork
