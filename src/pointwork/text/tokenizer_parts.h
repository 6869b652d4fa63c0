#pragma once
// A tokenizer, read and judged, as its parts.

#include <memory>
#include <string>

#include "pointwork/text/added_tokens.h"
#include "pointwork/text/bounds.h"
#include "pointwork/text/decoder.h"
#include "pointwork/text/piece_model.h"
#include "pointwork/text/pre_tokenizer.h"
#include "pointwork/text/vocabulary.h"

namespace pointwork {

struct TokenizerParts {
  Vocabulary vocabulary;
  AddedTokens::Normalize normalize;  // empty: text stays as it is
  PreTokenizer pre_tokenizer;
  std::unique_ptr<const PieceModel> model;
  Bounds bounds;
  TextStart start;
  // GPT-2's pipeline, without normalisation: piece_end() divides, and any bytes can be encoded.
  bool plain = false;
  // All that decides ids besides tokens, kinds of added tokens and merges; empty where plain.
  std::string meaning;
  std::string json;  // tokenizer.json as it was read; empty: to be written from the vocabulary
};

// The parts of a byte-level BPE with GPT-2's pattern.
TokenizerParts plain_parts(Vocabulary vocabulary);

// Error, in one line that begins with `source`, where the file asks for anything that is not done
// here, by name, or where its parts do not fit.
TokenizerParts parse_tokenizer_json(std::string_view json, const std::string& source);

// The tokenizer.json of plain parts.
std::string to_tokenizer_json(const Vocabulary& vocabulary);

}  // namespace pointwork
