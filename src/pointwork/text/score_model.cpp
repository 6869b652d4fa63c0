#include "pointwork/text/score_model.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "pointwork/base/check.h"
#include "pointwork/text/piece_trie.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

class Scores : public PieceModel {
 public:
  explicit Scores(const SentencePieces& given) : byte_fallback_(given.byte_fallback) {
    PieceMap byte_pieces;
    int32_t id = 0;
    for (const SentencePieces::Piece& piece : given.pieces) {
      scores_.push_back(piece.score);
      unused_.push_back(piece.type == PieceType::kUnused);
      any_unused_ |= unused_.back();
      switch (piece.type) {
        case PieceType::kUserDefined:
          frozen_.add(piece.text, id);
          [[fallthrough]];
        case PieceType::kNormal:
        case PieceType::kUnused:
          pieces_.add(piece.text, id);
          break;
        case PieceType::kByte:
          byte_pieces.add(piece.text, id);
          break;
        case PieceType::kUnknown:
          unk_ = id;
          break;
        case PieceType::kControl:
          break;
      }
      ++id;
    }
    bytes_ = byte_pieces.byte_tokens();
    may_cut_ = pieces_.may_cut_before(given.space());
  }

  bool may_cut() const { return may_cut_; }

  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    check(text.size() < kNone, "text of ", text.size(), " bytes is too long to encode");
    Work work{.text = text};
    begin(work);
    while (!work.queue.empty()) {
      const Candidate top = work.queue.top();
      work.queue.pop();
      Part& left = work.parts[top.left];
      Part& right = work.parts[top.right];
      if (left.length == 0 || right.length == 0 || left.length + right.length != top.length)
        continue;  // one of them has changed since
      if (any_unused_ && unused_[static_cast<size_t>(top.id)])
        work.halves[work.of(left, right)] = {work.of(left), work.of(right)};
      left.length = top.length;
      left.next = right.next;
      right.length = 0;
      if (left.next != kNone) work.parts[left.next].before = top.left;
      look(work, left.before, top.left);
      look(work, top.left, left.next);
    }
    bool unknown = false;
    for (uint32_t i = work.parts.empty() ? kNone : 0; i != kNone; i = work.parts[i].next)
      push(work, work.of(work.parts[i]), unknown, ids);
  }

 private:
  struct Part {
    uint32_t begin, length;  // in the text; length 0: eaten
    uint32_t before, next;
    bool frozen;
  };
  struct Candidate {
    float score;
    uint32_t left, right, length;
    int32_t id;
    bool operator<(const Candidate& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };
  struct Work {
    std::string_view text;
    std::vector<Part> parts;
    std::priority_queue<Candidate> queue;
    // Of unused pieces: what they were made of.
    std::unordered_map<std::string_view, std::pair<std::string_view, std::string_view>> halves;

    std::string_view of(const Part& part) const { return text.substr(part.begin, part.length); }
    std::string_view of(const Part& left, const Part& right) const {
      return text.substr(left.begin, left.length + right.length);
    }
  };

  void begin(Work& work) const {
    for (size_t at = 0; at < work.text.size();) {
      size_t length = frozen_.empty() ? 0 : frozen_.longest(work.text.substr(at));
      const bool frozen = length > 0;
      if (!frozen) length = std::max(1u, utf8_character(work.text, at).length);
      const auto i = static_cast<uint32_t>(work.parts.size());
      work.parts.push_back({.begin = static_cast<uint32_t>(at),
                            .length = static_cast<uint32_t>(length),
                            .before = i == 0 ? kNone : i - 1,
                            .next = i + 1,
                            .frozen = frozen});
      at += length;
    }
    if (work.parts.empty()) return;
    work.parts.back().next = kNone;
    for (uint32_t i = 1; i < work.parts.size(); ++i) look(work, i - 1, i);
  }

  void look(Work& work, uint32_t left, uint32_t right) const {
    if (left == kNone || right == kNone) return;
    const Part& a = work.parts[left];
    const Part& b = work.parts[right];
    if (a.frozen || b.frozen) return;
    const int32_t id = pieces_.find(work.of(a, b));
    if (id >= 0)
      work.queue.push({scores_[static_cast<size_t>(id)], left, right, a.length + b.length, id});
  }

  void push(const Work& work, std::string_view piece, bool& unknown,
            std::vector<int32_t>& ids) const {
    const int32_t id = pieces_.find(piece);
    if (id >= 0 && any_unused_ && unused_[static_cast<size_t>(id)]) {
      if (const auto found = work.halves.find(piece); found != work.halves.end()) {
        push(work, found->second.first, unknown, ids);
        push(work, found->second.second, unknown, ids);
        return;
      }
    }
    if (id >= 0) {
      ids.push_back(id);
    } else if (byte_fallback_) {
      for (const char c : piece) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
    } else if (!unknown) {
      ids.push_back(unk_);
    }
    unknown = id < 0;
  }

  const bool byte_fallback_;
  PieceMap pieces_;
  PieceTrie frozen_;
  std::vector<float> scores_;
  std::vector<bool> unused_;
  std::array<int32_t, 256> bytes_{};
  int32_t unk_ = -1;
  bool any_unused_ = false, may_cut_ = false;
};

}  // namespace

ScoreModel score_model(const SentencePieces& given) {
  auto scores = std::make_unique<Scores>(given);
  const bool may_cut = scores->may_cut();
  return {std::move(scores), may_cut};
}

}  // namespace pointwork
