#include "pointwork/text/sentencepiece.h"

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/text/charsmap.h"
#include "pointwork/text/decoder.h"
#include "pointwork/text/piece_trie.h"
#include "pointwork/text/score_model.h"
#include "pointwork/text/unigram_model.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

// User-defined pieces, which nothing changes.
PieceTrie user_defined(const SentencePieces& given) {
  PieceTrie trie;
  for (size_t id = 0; id < given.pieces.size(); ++id) {
    if (given.pieces[id].type == PieceType::kUserDefined)
      trie.add(given.pieces[id].text, static_cast<int32_t>(id));
  }
  return trie;
}

class NormalizeText {
 public:
  explicit NormalizeText(const SentencePieces& given)
      : space_(given.space()),
        prefix_(given.add_dummy_prefix),
        tidy_(given.remove_extra_whitespaces),
        kept_(user_defined(given)),
        map_(given.charsmap.empty() ? nullptr : std::make_shared<const CharsMap>(given.charsmap)) {}

  std::string operator()(std::string_view text) const {
    std::string out;
    if (tidy_) {
      for (Rule next; !text.empty() && (next = rule(text)).replacement == " ";)
        text.remove_prefix(next.length);
    }
    if (text.empty()) return out;
    out.reserve(text.size() * 3 / 2);
    if (prefix_) out += space_;
    bool after_space = tidy_;
    while (!text.empty()) {
      Rule next = rule(text);
      text.remove_prefix(next.length);
      while (after_space && next.replacement.starts_with(' ')) next.replacement.remove_prefix(1);
      if (next.replacement.empty()) continue;
      for (const char c : next.replacement) {
        if (c == ' ') {
          out += space_;
        } else {
          out += c;
        }
      }
      after_space = tidy_ && next.replacement.ends_with(' ');
    }
    while (tidy_ && out.ends_with(space_)) out.resize(out.size() - space_.size());
    return out;
  }

 private:
  using Rule = CharsMap::Rule;
  // What to do with what the text begins with.
  Rule rule(std::string_view text) const {
    if (const size_t length = kept_.longest(text)) return {length, text.substr(0, length)};
    if (map_) {
      if (const auto found = map_->longest(text)) return *found;
    }
    const Utf8Character c = utf8_character(text, 0);
    if (c.length == 0) return {1, kReplacement};
    return {c.length, text.substr(0, c.length)};
  }

  const std::string space_;
  const bool prefix_, tidy_;
  const PieceTrie kept_;
  const std::shared_ptr<const CharsMap> map_;
};

}  // namespace

void check_pieces(const SentencePieces& given) {
  check(!given.pieces.empty(), "there are no pieces");
  PieceMap seen;
  int32_t id = 0, unknown = 0;
  for (const SentencePieces::Piece& piece : given.pieces) {
    check(!piece.text.empty(), "piece ", id, " is empty");
    check(is_utf8(piece.text), "piece ", id, ", '", printable(piece.text), "', is no valid UTF-8");
    check(piece.score == piece.score, "piece ", id, ", '", printable(piece.text),
          "', has no number as its score");
    check(piece.type != PieceType::kByte || byte_of_token(piece.text).has_value(), "piece ", id,
          ", '", printable(piece.text), "', should name a byte, as <0x0A>");
    seen.add(piece.text, id++);
    unknown += piece.type == PieceType::kUnknown ? 1 : 0;
  }
  check(unknown == 1, "there must be one unknown piece, found ", unknown);
  if (!given.byte_fallback) return;
  const std::array<int32_t, 256> bytes = seen.byte_tokens();
  for (size_t byte = 0; byte < bytes.size(); ++byte)
    check(bytes[byte] >= 0, "byte_fallback needs a piece for each byte, but byte ", byte,
          " has none");
}

std::function<std::string(std::string)> sentencepiece_normalizer(const SentencePieces& given) {
  return [normalize = std::make_shared<const NormalizeText>(given)](const std::string& text) {
    return (*normalize)(text);
  };
}

SentencePieceModel sentencepiece_model(const SentencePieces& given) {
  SentencePieceModel made;
  if (!given.unigram) {
    ScoreModel model = score_model(given);
    return {std::move(model.model), model.may_cut};
  }
  std::vector<UnigramPiece> pieces;
  PieceMap by_name;
  UnigramOptions options{.byte_fallback = given.byte_fallback, .single = true};
  int32_t id = 0;
  for (const SentencePieces::Piece& piece : given.pieces) {
    if (piece.type == PieceType::kUnknown) options.unk = id;
    if (piece.type == PieceType::kNormal || piece.type == PieceType::kUserDefined)
      pieces.push_back({piece.text, id, piece.score, piece.type == PieceType::kUserDefined});
    if (piece.type == PieceType::kByte) by_name.add(piece.text, id);
    ++id;
  }
  made.model = unigram(pieces, std::move(by_name), options);
  return made;
}

std::string sentencepiece_bytes(const SentencePieces& given, const SentencePieces::Piece& piece) {
  if (piece.type == PieceType::kUnknown) return given.unk_surface;
  if (piece.type == PieceType::kControl) return piece.text;
  if (piece.type == PieceType::kByte) return std::string(1, *byte_of_token(piece.text));
  std::string bytes;
  for (std::string_view rest = piece.text; !rest.empty();) {
    const bool space = rest.starts_with(given.space());
    bytes += space ? ' ' : rest[0];
    rest.remove_prefix(space ? given.space().size() : 1);
  }
  return bytes;
}

}  // namespace pointwork
