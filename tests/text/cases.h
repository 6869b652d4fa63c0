#pragma once
// Text that tokenizers get wrong, and small tokenizers.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"
#include "pointwork/text/bpe_trainer.h"
#include "pointwork/text/tokenizer.h"
#include "pointwork/text/utf8.h"

namespace pointwork::test {

using Ids = std::vector<int32_t>;

// Draws that depend on the seed alone.
class Draw {
 public:
  explicit Draw(uint64_t seed) : seed_(seed) {}
  uint64_t below(uint64_t end) { return random_bits(seed_, next_++) % end; }
  template <class List>
  const auto& one_of(const List& list) {
    return list[below(std::size(list))];
  }

 private:
  uint64_t seed_, next_ = 0;
};

inline std::string utf8(uint32_t code) {
  std::string text;
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 63));
  }
  if (code >= 0x800) text += static_cast<char>(0x80 | (code >> 6 & 63));
  if (code >= 0x80) text += static_cast<char>(0x80 | (code & 63));
  return text;
}

// Characters at which readings of the split pattern part: all white space and what looks like it,
// apostrophes, letters and numbers of other scripts, marks, joiners, the ends of ranges.
inline const std::vector<std::string>& hard_characters() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> list = {"'",  "'",  "'s", "'t", "'re", "'ve", "'m", "'ll",
                                     "'d", "'S", "a",  "s",  "t",   "Z",   "0",  "9",
                                     " ",  " ",  " ",  "  ", "!",   "..."};
    for (const uint32_t code :
         {0x00u,    0x09u,    0x0Au,    0x0Bu,    0x0Cu,    0x0Du,    0x1Cu,    0x1Fu,    0x7Fu,
          0x85u,    0xA0u,    0xADu,    0xAAu,    0xB2u,    0xBDu,    0xDFu,    0xE9u,    0x301u,
          0x2B0u,   0x345u,   0x5D0u,   0x627u,   0x660u,   0x915u,   0x94Du,   0xE33u,   0x1680u,
          0x180Eu,  0x200Bu,  0x200Du,  0x2000u,  0x200Au,  0x2028u,  0x2029u,  0x202Fu,  0x205Fu,
          0x2060u,  0x2019u,  0x2160u,  0x2460u,  0x3000u,  0x3007u,  0x4E2Du,  0xAC00u,  0xFEFFu,
          0xFE0Fu,  0xFFFDu,  0xFFFFu,  0x1D7D8u, 0x1F1E9u, 0x1F3FDu, 0x1F468u, 0x1F600u, 0x20000u,
          0xE0061u, 0xF0000u, 0x10FFFFu})
      list.push_back(utf8(code));
    return list;
  }();
  return all;
}

inline std::string hard_text(Draw& draw, size_t pieces) {
  std::string text;
  while (pieces-- > 0) text += draw.one_of(hard_characters());
  return text;
}

// Mostly broken: random bytes, pieces of characters, and whole ones.
inline std::string broken_text(Draw& draw, size_t pieces) {
  std::string text;
  while (pieces-- > 0) {
    const std::string& whole = draw.one_of(hard_characters());
    switch (draw.below(3)) {
      case 0:
        text += static_cast<char>(draw.below(256));
        break;
      case 1:
        text += whole.substr(0, draw.below(whole.size()) + 1);
        break;
      default:
        text += whole;
    }
  }
  return text;
}

// Words of a small language with its own letters' frequencies, so that there is something to learn.
inline std::string language(uint64_t seed, size_t words) {
  static const std::vector<std::string> syllables = {
      "ba", "na", "na", "th",       "e",  "an",  "ing", "tha", "lo", "l",
      "ss", "i",  "on", "\xC3\xA9", "st", "aaa", "aa",  "x",   "re", "\xE4\xB8\xAD"};
  Draw draw(seed);
  std::vector<std::string> known(200);
  for (std::string& word : known) {
    for (uint64_t n = draw.below(4) + 1; n > 0; --n) word += draw.one_of(syllables);
  }
  std::string text;
  while (words-- > 0) {
    text += known[draw.below(draw.below(known.size()) + 1)];  // early ones more often
    text += draw.below(12) == 0 ? ".\n" : draw.below(9) == 0 ? ", 19" : " ";
  }
  return text;
}

inline Tokenizer trained(std::string_view text, int64_t vocab_size, int threads = 1,
                         std::vector<std::string> special = {"<|endoftext|>"}) {
  BpeTrainer trainer({.vocab_size = vocab_size, .special = std::move(special), .threads = threads});
  trainer.push(text);
  return trainer.train();
}

// Byte by byte as Python's and Rust's lossy decoding: one U+FFFD for each ill-formed run.
inline std::string lossy(std::string_view bytes) {
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Character c = utf8_character(bytes, at);
    text += c.length > 0 ? bytes.substr(at, c.length) : kReplacement;
    at += c.length > 0 ? c.length : c.bad;
  }
  return text;
}

// The error's text, one line; fails the test where there is none.
template <class Run>
std::string error_of(Run run) {
  try {
    run();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

inline void expect_in(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

}  // namespace pointwork::test
