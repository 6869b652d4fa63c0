#include "pointwork/text/unigram_model.h"

#include <algorithm>
#include <limits>

#include "pointwork/base/check.h"
#include "pointwork/text/piece_trie.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

constexpr double kUnknownPenalty = 10;  // below the lowest score

template <class Sum>
class Unigram : public PieceModel {
 public:
  Unigram(const std::vector<UnigramPiece>& pieces, PieceMap by_name, UnigramOptions options)
      : by_name_(std::move(by_name)), options_(options), bytes_(by_name_.byte_tokens()) {
    Sum least = std::numeric_limits<Sum>::infinity(), most = -least;
    for (const UnigramPiece& piece : pieces) {
      if (piece.user_defined) continue;
      least = std::min(least, static_cast<Sum>(piece.score));
      most = std::max(most, static_cast<Sum>(piece.score));
    }
    unknown_ = least - static_cast<Sum>(kUnknownPenalty);
    for (const UnigramPiece& piece : pieces) {
      trie_.add(piece.text, static_cast<int32_t>(ids_.size()));
      ids_.push_back(piece.id);
      constexpr Sum kLess = static_cast<Sum>(0.1);  // SentencePiece's: the longest wins
      scores_.push_back(piece.user_defined ? static_cast<Sum>(piece.text.size()) * most - kLess
                                           : static_cast<Sum>(piece.score));
    }
  }

  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    thread_local std::vector<Node> best;
    best.assign(text.size() + 1, Node{});
    for (size_t at = 0; at < text.size();) at += extend(text, at, best);
    const size_t before = ids.size();
    for (size_t end = text.size(); end > 0;) {  // backwards
      size_t begin = best[end].begin;
      if (!is_unknown(best[end])) {
        ids.push_back(ids_[static_cast<size_t>(best[end].piece)]);
      } else {
        while (begin > 0 && is_unknown(best[begin])) begin = best[begin].begin;
        push_unknown(text.substr(begin, end - begin), ids);
      }
      end = begin;
    }
    constexpr size_t kKept = size_t{1} << 20;
    if (best.capacity() > kKept) best = {};
    std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end());
  }

 private:
  static constexpr size_t kNowhere = SIZE_MAX;
  struct Node {
    size_t begin = kNowhere;  // of the best piece that ends here
    int32_t piece = -1;       // -1: unknown
    Sum sum = 0;
  };

  bool is_unknown(const Node& node) const {
    return node.piece < 0 || ids_[static_cast<size_t>(node.piece)] == options_.unk;
  }

  // Tries all pieces that begin at `at`; returns the bytes of the character there.
  size_t extend(std::string_view text, size_t at, std::vector<Node>& best) const {
    const Sum here = best[at].sum;
    const size_t character = std::max(1u, utf8_character(text, at).length);
    bool single = false;
    int32_t node = 0;
    for (size_t end = at; end < text.size();) {
      node = trie_.next(node, text[end++]);
      if (node == PieceTrie::kNone) break;
      const int32_t piece = trie_.value(node);
      if (piece == PieceTrie::kNone) continue;
      offer(best[end], at, piece, scores_[static_cast<size_t>(piece)] + here);
      single |= end - at == character;
    }
    if (!single) offer(best[at + character], at, -1, unknown_ + here);
    return character;
  }

  static void offer(Node& node, size_t begin, int32_t piece, Sum sum) {
    if (node.begin == kNowhere || sum > node.sum) node = {begin, piece, sum};
  }

  void push_unknown(std::string_view text, std::vector<int32_t>& ids) const {
    if (const int32_t id = by_name_.find(text); id >= 0) return ids.push_back(id);
    const auto byte_id = [&](char c) { return bytes_[static_cast<unsigned char>(c)]; };
    if (options_.byte_fallback &&
        std::all_of(text.begin(), text.end(), [&](char c) { return byte_id(c) >= 0; })) {
      for (size_t i = text.size(); i > 0; --i) ids.push_back(byte_id(text[i - 1]));
      return;
    }
    check(options_.unk >= 0,
          "the text has what no token of this tokenizer spells, and there is no "
          "unknown token");
    ids.push_back(options_.unk);
  }

  const PieceMap by_name_;
  const UnigramOptions options_;
  const std::array<int32_t, 256> bytes_;
  PieceTrie trie_;  // of places in ids_ and scores_
  std::vector<int32_t> ids_;
  std::vector<Sum> scores_;
  Sum unknown_ = 0;
};

}  // namespace

std::unique_ptr<PieceModel> unigram(const std::vector<UnigramPiece>& pieces, PieceMap by_name,
                                    UnigramOptions options) {
  if (options.single) return std::make_unique<Unigram<float>>(pieces, std::move(by_name), options);
  return std::make_unique<Unigram<double>>(pieces, std::move(by_name), options);
}

}  // namespace pointwork
