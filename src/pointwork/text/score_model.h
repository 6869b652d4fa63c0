#pragma once
// SentencePiece's BPE: of all neighbours that make a piece, those of the highest score are merged
// first, and of equals the leftmost.

#include <memory>

#include "pointwork/text/sentencepiece.h"

namespace pointwork {

struct ScoreModel {
  std::unique_ptr<PieceModel> model;
  bool may_cut;  // before a space that follows another character
};

ScoreModel score_model(const SentencePieces& given);

}  // namespace pointwork
