#pragma once
// What a SentencePiece model says, from wherever it was read.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pointwork/text/piece_model.h"

namespace pointwork {

enum class PieceType : uint8_t {  // the numbers of its file format
  kNormal = 1,
  kUnknown,      // stands for what no piece spells; exactly one
  kControl,      // never made of text: <s>
  kUserDefined,  // text that is always one piece
  kUnused,
  kByte  // "<0x0A>"
};

struct SentencePieces {
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };
  std::vector<Piece> pieces;  // [V]
  bool unigram = true;        // else BPE
  bool byte_fallback = false;
  bool add_dummy_prefix = true;                // a space before the text
  bool remove_extra_whitespaces = true;        // at both ends, and all but one elsewhere
  bool escape_whitespaces = true;              // a space is U+2581
  std::string charsmap;                        // rules of normalisation; may be empty
  std::string unk_surface = " \xE2\x81\x87 ";  // what the unknown piece decodes to
  int32_t begin = -1;                          // the piece before a text; -1: none

  std::string_view space() const { return escape_whitespaces ? kWordMark : " "; }
};

// Error where pieces are empty, twice there, no text, or of a kind that the rest contradicts.
void check_pieces(const SentencePieces& given);

// What SentencePiece does to text before it looks for pieces.
std::function<std::string(std::string)> sentencepiece_normalizer(const SentencePieces& given);

struct SentencePieceModel {
  std::unique_ptr<PieceModel> model;  // of normalised text
  bool may_cut = false;               // text may be divided before a space that follows another
                                      // character
};
SentencePieceModel sentencepiece_model(const SentencePieces& given);

// The bytes that a piece decodes to, anywhere but at the beginning of a text.
std::string sentencepiece_bytes(const SentencePieces& given, const SentencePieces::Piece& piece);

}  // namespace pointwork
