#pragma once
// The vocabulary of a tokenizer.json: tokens, merges and added tokens, judged.

#include <functional>
#include <string>

#include "pointwork/text/settings.h"
#include "pointwork/text/tokenizer_file.h"
#include "pointwork/text/vocabulary.h"

namespace pointwork {

// The bytes that a token of the file stands for; nothing: it cannot be read so.
using BytesOf = std::function<std::optional<std::string>(const std::string& token)>;

// Error, beginning with `source`, unless ids are 0 … V − 1, each used once, and merges join tokens.
Vocabulary read_vocabulary(const TokenizerFile& file, const std::string& source,
                           const BytesOf& bytes_of);

}  // namespace pointwork
