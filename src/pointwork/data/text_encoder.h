#pragma once
// What preparing needs of a tokenizer.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pointwork/text/tokenizer.h"

namespace pointwork {

struct TextEncoder {
  // Appends the ids of `text`, in which special tokens are ordinary text, so that no document can
  // end another. Called from several threads at once.
  std::function<void(std::string_view text, std::vector<int32_t>& ids)> encode;
  std::vector<uint32_t> token_bytes;  // [V]  of the text each id stands for; 0 for special tokens
  int32_t end_of_text = 0;
  std::string hash;  // Tokenizer::hash
  std::string json;  // tokenizer.json

  int64_t vocab_size() const { return static_cast<int64_t>(token_bytes.size()); }
};

// Error where the tokenizer has no <|endoftext|>.
TextEncoder text_encoder(const Tokenizer& tokenizer);

}  // namespace pointwork
