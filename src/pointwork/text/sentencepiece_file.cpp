#include "pointwork/text/sentencepiece_file.h"

#include <cstring>

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/text/protobuf.h"

namespace pointwork {
namespace {

constexpr size_t kMostPieces = size_t{1} << 24;

SentencePieces::Piece read_piece(std::string_view message) {
  SentencePieces::Piece piece;
  for (ProtobufReader in(message); in.next();) {
    if (in.field() == 1) piece.text = in.bytes();
    if (in.field() == 2) piece.score = in.real();
    if (in.field() != 3) continue;
    check(in.number() >= 1 && in.number() <= 6, "piece '", printable(piece.text), "' has type ",
          in.number(), ", which is not known");
    piece.type = static_cast<PieceType>(in.number());
  }
  return piece;
}

struct Trainer {
  uint64_t model = 1;
  int64_t begin = 1;
};

Trainer read_trainer(std::string_view message, SentencePieces& out) {
  Trainer trainer;
  for (ProtobufReader in(message); in.next();) {
    switch (in.field()) {
      case 3:
        trainer.model = in.number();
        break;
      case 24:
        check(!in.flag(), "treat_whitespace_as_suffix is not supported");
        break;
      case 35:
        out.byte_fallback = in.flag();
        break;
      case 41:
        trainer.begin = static_cast<int32_t>(in.number());
        break;
      case 44:
        out.unk_surface = in.bytes();
        break;
      default:
        break;  // how it was learnt
    }
  }
  return trainer;
}

void read_normalizer(std::string_view message, SentencePieces& out) {
  for (ProtobufReader in(message); in.next();) {
    if (in.field() == 2) out.charsmap = in.bytes();
    if (in.field() == 3) out.add_dummy_prefix = in.flag();
    if (in.field() == 4) out.remove_extra_whitespaces = in.flag();
    if (in.field() == 5) out.escape_whitespaces = in.flag();
  }
}

SentencePieces read_model(std::string_view file) {
  SentencePieces out;
  Trainer trainer;
  for (ProtobufReader in(file); in.next();) {
    switch (in.field()) {
      case 1:
        check(out.pieces.size() < kMostPieces, "has more than ", kMostPieces, " pieces");
        out.pieces.push_back(read_piece(in.bytes()));
        break;
      case 2:
        trainer = read_trainer(in.bytes(), out);
        break;
      case 3:
        read_normalizer(in.bytes(), out);
        break;
      case 5:
        for (ProtobufReader inner(in.bytes()); inner.next();)
          check(inner.field() != 2 || inner.bytes().empty(),
                "a denormalizer_spec with rules is not supported");
        break;
      default:
        break;
    }
  }
  const char* kinds[] = {"no", "unigram", "bpe", "word", "char"};
  check(trainer.model == 1 || trainer.model == 2, "model_type ",
        trainer.model <= 4 ? kinds[trainer.model] : std::to_string(trainer.model),
        " is not supported, only unigram and bpe");
  out.unigram = trainer.model == 1;
  const auto begin = static_cast<size_t>(trainer.begin);
  if (trainer.begin >= 0 && begin < out.pieces.size() &&
      out.pieces[begin].type == PieceType::kControl)
    out.begin = static_cast<int32_t>(trainer.begin);
  return out;
}

template <class Number>
Number take(std::string_view& rest, size_t size) {
  Number number;
  check(rest.size() >= sizeof number, "is cut off at byte ", size - rest.size(), " of ", size);
  std::memcpy(&number, rest.data(), sizeof number);
  rest.remove_prefix(sizeof number);
  return number;
}

constexpr int32_t kLongestToken = 1 << 16;
constexpr size_t kFirstByte = 3;

SentencePieces read_llama2c(std::string_view file) {
  SentencePieces out{.unigram = false,
                     .byte_fallback = true,
                     .remove_extra_whitespaces = false,
                     .escape_whitespaces = false,
                     .begin = 1};
  std::string_view rest = file;
  const auto longest = take<int32_t>(rest, file.size());
  check(longest > 0 && longest <= kLongestToken, "says that its longest token has ", longest,
        " bytes");
  while (!rest.empty()) {
    const size_t id = out.pieces.size();
    check(id < kMostPieces, "has more than ", kMostPieces, " tokens");
    SentencePieces::Piece piece{.score = take<float>(rest, file.size())};
    const auto length = take<int32_t>(rest, file.size());
    check(length >= 0 && length <= longest, "token ", id, " says that it has ", length,
          " bytes, but the longest has ", longest);
    check(static_cast<size_t>(length) <= rest.size(), "is cut off in token ", id, ", at byte ",
          file.size() - rest.size(), " of ", file.size());
    piece.text = rest.substr(0, static_cast<size_t>(length));
    rest.remove_prefix(static_cast<size_t>(length));
    if (id < kFirstByte) piece.type = id == 0 ? PieceType::kUnknown : PieceType::kControl;
    if (id >= kFirstByte && id < kFirstByte + 256) piece.type = PieceType::kByte;
    out.pieces.push_back(std::move(piece));
  }
  check(out.pieces.size() >= kFirstByte + 256, "has ", out.pieces.size(),
        " tokens, fewer than three and one for each byte");
  // It is written as it should be printed, between line ends.
  for (size_t id = 1; id < kFirstByte; ++id) {
    std::string& text = out.pieces[id].text;
    if (text.size() > 2 && text.front() == '\n' && text.back() == '\n')
      text = text.substr(1, text.size() - 2);
  }
  return out;
}

template <class Read>
SentencePieces checked(std::string_view file, const std::string& source, const Read& read) {
  try {
    SentencePieces pieces = read(file);
    check_pieces(pieces);
    return pieces;
  } catch (const Error& error) {
    fail(source, ": ", error.what());
  }
}

}  // namespace

SentencePieces read_sentencepiece(std::string_view file, const std::string& source) {
  return checked(file, source, read_model);
}

SentencePieces read_llama2c_tokenizer(std::string_view file, const std::string& source) {
  return checked(file, source, read_llama2c);
}

// The first field is a piece, and the first field of that its text.
bool looks_like_sentencepiece(std::string_view file) {
  if (!file.starts_with('\x0A')) return false;
  try {
    ProtobufReader in(file);
    return in.next() && ProtobufReader(in.bytes()).next();
  } catch (const Error&) {
    return false;
  }
}

// A small number, then a score and a length that is no larger.
bool looks_like_llama2c_tokenizer(std::string_view file) {
  int32_t longest = 0, length = 0;
  if (file.size() < 12) return false;
  std::memcpy(&longest, file.data(), sizeof longest);
  std::memcpy(&length, file.data() + 8, sizeof length);
  return longest > 0 && longest <= kLongestToken && length > 0 && length <= longest;
}

}  // namespace pointwork
