#pragma once
// SentencePiece's models as tokenizer.json, and back without loss.
//
// The file is one that Hugging Face's tokenizers read and give the same meaning as far as they can;
// what they have no word for stands in model.sentencepiece, which they skip and this reader obeys.

#include <string>

#include "pointwork/text/sentencepiece.h"
#include "pointwork/text/tokenizer_file.h"
#include "pointwork/text/tokenizer_parts.h"

namespace pointwork {

std::string to_tokenizer_json(const SentencePieces& pieces);

// Of a file whose model has the key "sentencepiece".
SentencePieces sentencepieces_of(const TokenizerFile& file, const std::string& source);

// `json` is what to_tokenizer_json() makes of them, or what they were read from.
TokenizerParts sentencepiece_parts(const SentencePieces& pieces, std::string json);

}  // namespace pointwork
