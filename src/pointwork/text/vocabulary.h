#pragma once
// What a tokenizer is made of, and its form as Hugging Face's tokenizer.json.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pointwork {

// A token that text may hold verbatim. Splitting never sees it.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = true;      // left out by decoding that skips special tokens
  bool normalized = false;  // looked for after those that are not, as Hugging Face does
};

struct Vocabulary {
  std::vector<std::string> tokens;                  // [V]  bytes of each id
  std::vector<std::pair<int32_t, int32_t>> merges;  // by rank: the ids that become one token
  std::vector<AddedToken> added;                    // by id
};

// Error, in one line that begins with `source`, unless the file is a byte-level BPE with GPT-2's
// split pattern, a token for each byte, and ids 0 … V − 1 each used once.
Vocabulary parse_tokenizer_json(std::string_view json, const std::string& source);

std::string to_tokenizer_json(const Vocabulary& vocabulary);

}  // namespace pointwork
