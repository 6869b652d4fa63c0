#pragma once
// Files of pieces with scores: SentencePiece's .model and llama2.c's tokenizer.

#include <string>
#include <string_view>

#include "pointwork/text/sentencepiece.h"

namespace pointwork {

// The protobuf message ModelProto. Error, beginning with `source`, where it is damaged or asks for
// what is not done here, by name.
SentencePieces read_sentencepiece(std::string_view file, const std::string& source);

// int32 longest token, then for each id: float32 score, int32 length, that many bytes. Ids 0 to 2
// are the unknown token, the beginning and the end of a text, 3 to 258 the bytes.
SentencePieces read_llama2c_tokenizer(std::string_view file, const std::string& source);

// Whether a file's first bytes are the one's or the other's.
bool looks_like_sentencepiece(std::string_view file);
bool looks_like_llama2c_tokenizer(std::string_view file);

}  // namespace pointwork
