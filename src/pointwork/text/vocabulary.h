#pragma once
// The tokens of a tokenizer and what they are made of.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pointwork {

// A token that text may hold verbatim. Splitting never sees it.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = true;       // left out by decoding that skips special tokens
  bool normalized = false;   // looked for in normalised text, after those that are not
  bool single_word = false;  // only where no word character stands next to it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it

  bool operator==(const AddedToken&) const = default;
};

struct Vocabulary {
  std::vector<std::string> tokens;                  // [V]  bytes of each id
  std::vector<std::pair<int32_t, int32_t>> merges;  // by rank: the ids that become one token
  std::vector<AddedToken> added;                    // by id
};

}  // namespace pointwork
