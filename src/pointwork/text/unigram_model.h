#pragma once
// Unigram (arXiv:1804.10959): of all ways to divide a text into pieces, the one of the highest sum
// of scores.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "pointwork/text/piece_model.h"

namespace pointwork {

struct UnigramPiece {
  std::string text;
  int32_t id = 0;
  double score = 0;
  bool user_defined = false;  // always chosen
};

struct UnigramOptions {
  int32_t unk = -1;            // -1: Error where text has what no piece spells
  bool byte_fallback = false;  // unknown characters become tokens of their bytes, "<0x0A>"
  bool single = false;         // sums in float32, as SentencePiece, not float64, as Hugging Face
};

// `pieces` are what text may be divided into; `by_name` all that an unknown stretch may still be.
std::unique_ptr<PieceModel> unigram(const std::vector<UnigramPiece>& pieces, PieceMap by_name,
                                    UnigramOptions options);

}  // namespace pointwork
