#include "pointwork/text/pair_model.h"

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/text/stand_in.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

// Room for the parts of a piece.
class Parts {
 public:
  explicit Parts(size_t most) {
    if (most <= small_.size()) return;
    large_.resize(most);
    begin_ = large_.data();
  }
  void push(int32_t id) { begin_[size_++] = id; }
  std::span<int32_t> all() { return {begin_, size_}; }

 private:
  std::array<int32_t, Merger::kShort> small_;
  std::vector<int32_t> large_;
  int32_t* begin_ = small_.data();
  size_t size_ = 0;
};

class BytePairs : public PieceModel {
 public:
  BytePairs(Merger merger, const std::array<int32_t, 256>& bytes, PairOptions options,
            PieceMap whole)
      : merger_(std::move(merger)), bytes_(bytes), options_(options), whole_(std::move(whole)) {
    for (const int32_t id : bytes_) complete_ &= id >= 0;
  }

  void encode(std::string_view piece, std::vector<int32_t>& ids) const override {
    if (options_.ignore_merges) {
      if (const int32_t id = whole_.find(piece); id >= 0) return ids.push_back(id);
    }
    Parts parts(piece.size());
    if (complete_) {
      for (const char c : piece) parts.push(bytes_[static_cast<unsigned char>(c)]);
    } else {
      bool unknown = false;  // whether the last part is
      for (const char c : piece) {
        const int32_t id = bytes_[static_cast<unsigned char>(c)];
        if (id >= 0) parts.push(id);
        if (id < 0 && options_.unk >= 0 && !(unknown && options_.fuse_unk))
          parts.push(options_.unk);
        unknown = id < 0;
      }
    }
    merger_.merge(parts.all(), ids);
  }

 private:
  const Merger merger_;
  const std::array<int32_t, 256> bytes_;
  const PairOptions options_;
  const PieceMap whole_;  // of ignore_merges
  bool complete_ = true;
};

class Characters : public PieceModel {
 public:
  Characters(Merger merger, PieceMap pieces, PairOptions options)
      : merger_(std::move(merger)),
        pieces_(std::move(pieces)),
        options_(options),
        bytes_(pieces_.byte_tokens()) {}

  void encode(std::string_view piece, std::vector<int32_t>& ids) const override {
    if (options_.ignore_merges) {
      if (const int32_t id = pieces_.find(piece); id >= 0) return ids.push_back(id);
    }
    Parts parts(piece.size());
    bool unknown = false;  // one waits: known characters and the end push it, bytes do not
    for (size_t at = 0; at < piece.size();) {
      const std::string_view c = piece.substr(at, std::max(1u, utf8_character(piece, at).length));
      at += c.size();
      if (const int32_t id = pieces_.find(c); id >= 0) {
        if (unknown) parts.push(options_.unk);
        unknown = false;
        parts.push(id);
      } else if (!fall_back(c, parts) && options_.unk >= 0) {
        if (unknown && !options_.fuse_unk) parts.push(options_.unk);
        unknown = true;
      }
    }
    if (unknown) parts.push(options_.unk);
    merger_.merge(parts.all(), ids);
  }

 private:
  bool fall_back(std::string_view c, Parts& parts) const {
    if (!options_.byte_fallback) return false;
    for (const char byte : c) {
      if (bytes_[static_cast<unsigned char>(byte)] < 0) return false;
    }
    for (const char byte : c) parts.push(bytes_[static_cast<unsigned char>(byte)]);
    return true;
  }

  const Merger merger_;
  const PieceMap pieces_;
  const PairOptions options_;
  const std::array<int32_t, 256> bytes_;
};

// Bytes whose lack a pretrained vocabulary can bear: some know no control characters, nor bytes
// that no well-formed text holds. Without an unknown token they are passed over.
bool may_lack(size_t byte) {
  return byte < 0x20 || byte == 0x7F || byte == 0xC0 || byte == 0xC1 || byte >= 0xF0;
}

}  // namespace

std::unique_ptr<PieceModel> byte_pairs(const Vocabulary& vocabulary, PairOptions options) {
  std::unordered_map<std::string_view, int32_t> ids;
  ids.reserve(vocabulary.tokens.size());
  std::vector<bool> added(vocabulary.tokens.size());
  for (const AddedToken& token : vocabulary.added) added[static_cast<size_t>(token.id)] = true;
  for (const bool pass : {false, true}) {  // an added token may be spelt like one that merges make
    for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      if (added[id] == pass) ids.emplace(vocabulary.tokens[id], static_cast<int32_t>(id));
    }
  }
  std::array<int32_t, 256> bytes{};
  for (size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto found = ids.find(std::string_view(&c, 1));
    bytes[byte] = found == ids.end() ? -1 : found->second;
    check(found != ids.end() || options.unk >= 0 || may_lack(byte), "the vocabulary has no token '",
          to_stand_ins({&c, 1}), "' for byte ", byte,
          "; a byte-level BPE has one for each byte but control characters, or an unknown token");
  }
  std::vector<int32_t> wholes;
  wholes.reserve(vocabulary.merges.size());
  for (const auto& [left, right] : vocabulary.merges) {
    const std::string whole = vocabulary.tokens[static_cast<size_t>(left)] +
                              vocabulary.tokens[static_cast<size_t>(right)];
    const auto found = ids.find(whole);
    if (found == ids.end())
      fail("merge ", wholes.size(), " makes '", printable(to_stand_ins(whole)),
           "', which the vocabulary lacks");
    wholes.push_back(found->second);
  }
  PieceMap whole;
  if (options.ignore_merges) {
    for (const auto& [token, id] : ids) {
      if (!added[static_cast<size_t>(id)]) whole.add(std::string(token), id);
    }
  }
  return std::make_unique<BytePairs>(Merger(vocabulary.merges, wholes), bytes, options,
                                     std::move(whole));
}

CharacterPairs character_pairs(const Pieces& pieces,
                               const std::vector<std::pair<int32_t, int32_t>>& merges,
                               PairOptions options) {
  PieceMap map;
  std::unordered_map<int32_t, std::string_view> spelled;
  for (const auto& [piece, id] : pieces) {
    map.add(piece, id);
    spelled.emplace(id, piece);
  }
  std::vector<int32_t> wholes;
  wholes.reserve(merges.size());
  for (const auto& [left, right] : merges) {
    const std::string whole = concat(spelled.at(left), spelled.at(right));
    wholes.push_back(map.find(whole));
    if (wholes.back() < 0)
      fail("merge ", wholes.size() - 1, " makes '", printable(whole),
           "', which the vocabulary lacks");
  }
  const bool may_cut = !options.ignore_merges && map.may_cut_before(kWordMark);
  return {std::make_unique<Characters>(Merger(merges, wholes), std::move(map), options), may_cut};
}

}  // namespace pointwork
