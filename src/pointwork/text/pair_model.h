#pragma once
// BPE: a piece's bytes or characters, merged by rank.

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pointwork/text/merger.h"
#include "pointwork/text/piece_model.h"
#include "pointwork/text/vocabulary.h"

namespace pointwork {

struct PairOptions {
  bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
  bool byte_fallback = false;  // unknown characters become tokens of their bytes, "<0x0A>"
  bool fuse_unk = false;       // unknown characters side by side are one unknown token
  int32_t unk = -1;            // the unknown token; -1: what is unknown is left out
};

// Byte-level: the vocabulary's tokens are bytes. Error naming a pair of tokens that has no token
// for its bytes, or, where there is no unknown token, a byte that has none and is no control
// character nor begins letters beyond U+FFFF.
std::unique_ptr<PieceModel> byte_pairs(const Vocabulary& vocabulary, PairOptions options = {});

// `pieces` are text; every merge joins two of them and makes a third.
using Pieces = std::vector<std::pair<std::string, int32_t>>;
struct CharacterPairs {
  std::unique_ptr<PieceModel> model;
  bool may_cut;  // text may be divided before a kWordMark that follows something else
};
CharacterPairs character_pairs(const Pieces& pieces,
                               const std::vector<std::pair<int32_t, int32_t>>& merges,
                               PairOptions options);

}  // namespace pointwork
