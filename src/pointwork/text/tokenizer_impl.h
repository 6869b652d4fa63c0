#pragma once
// What a Tokenizer holds.

#include <string>
#include <string_view>
#include <vector>

#include "pointwork/text/added_tokens.h"
#include "pointwork/text/merger.h"
#include "pointwork/text/tokenizer.h"
#include "pointwork/text/vocabulary.h"

namespace pointwork {

struct Tokenizer::Impl {
  explicit Impl(Vocabulary from);

  // Appends ids. Added tokens are looked for where `special`.
  void encode(std::string_view text, std::vector<int32_t>& ids, bool special) const;
  void encode_ordinary(std::string_view text, std::vector<int32_t>& ids) const;

  const Vocabulary vocabulary;
  const Merger merger;
  const AddedTokens added;
  const std::vector<bool> special;  // [V]
  const std::string hash;
  const uint32_t serial;  // tells tokenizers apart in the caches of pieces; never 0
};

}  // namespace pointwork
