#pragma once
// What a Tokenizer holds.

#include <string>
#include <string_view>
#include <vector>

#include "pointwork/text/added_tokens.h"
#include "pointwork/text/tokenizer.h"
#include "pointwork/text/tokenizer_parts.h"

namespace pointwork {

struct Tokenizer::Impl {
  explicit Impl(TokenizerParts from);

  void encode(std::string_view text, std::vector<int32_t>& ids, EncodeOptions options) const;
  // A stretch between added tokens, normalised; `first`: it begins the text.
  void encode_stretch(std::string_view text, bool first, std::vector<int32_t>& ids) const;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

  TokenizerParts parts;
  const Vocabulary& vocabulary;
  const AddedTokens added;
  const std::vector<bool> special, is_added;  // [V]
  const std::string hash;
  const uint32_t serial;  // tells tokenizers apart in the caches of pieces; never 0
};

}  // namespace pointwork
