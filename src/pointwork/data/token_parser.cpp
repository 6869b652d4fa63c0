// Token files of nanoGPT (raw little-endian uint16) and llm.c (a header of 256 int32: magic,
// version, count).

#include <algorithm>
#include <array>
#include <cstring>

#include "pointwork/base/check.h"
#include "pointwork/data/parsers.h"

namespace pointwork {
namespace {

constexpr size_t kHeaderBytes = 1024;
constexpr int32_t kMagicU16 = 20240520, kMagicU32 = 20240801;
constexpr size_t kPieceTokens = size_t{1} << 20;

class TokenParser : public Parser {
 public:
  TokenParser(ByteSource& source, InputFormat format) : source_(source), name_(source.name()) {
    if (format == InputFormat::nanogpt) return;
    std::array<char, kHeaderBytes> head;
    const size_t got = source_.read(head.data(), head.size());
    std::array<int32_t, 3> field{};
    std::memcpy(field.data(), head.data(), std::min(got, sizeof field));
    const bool magic = field[0] == kMagicU16 || field[0] == kMagicU32;
    if (!magic) {
      check(format == InputFormat::automatic, name_, ": begins with ", field[0],
            " where an llm.c file has ", kMagicU16, " or ", kMagicU32);
      carried_.assign(head.data(), got);
      return;
    }
    const int32_t version = field[0] == kMagicU16 ? 1 : 7;
    check(got == kHeaderBytes, name_, ": cut short inside its header");
    check(field[1] == version, name_, ": llm.c version must be ", version, " but is ", field[1]);
    check(field[2] >= 0, name_, ": its header says ", field[2], " tokens");
    declared_ = field[2];
    width_ = field[0] == kMagicU16 ? 2 : 4;
  }

  bool tokens() const override { return true; }

  bool next(Document& document) override {
    if (ended_) return false;
    std::string bytes = std::move(carried_);
    carried_.clear();
    const size_t had = bytes.size();
    bytes.resize(kPieceTokens * width_ + width_);
    bytes.resize(had + source_.read(bytes.data() + had, bytes.size() - had));
    ended_ = bytes.size() < kPieceTokens * width_ + width_;
    check(!ended_ || bytes.size() % width_ == 0, name_, ": ends inside a token of ", width_,
          " bytes: cut short?");
    // One token is kept back, so that the last piece is known to be the last and is not empty.
    const size_t count = bytes.size() / width_ - !ended_;
    if (!ended_) carried_ = bytes.substr(count * width_);
    document.text.clear();
    document.tokens.resize(count);
    for (size_t i = 0; i < count; ++i) {
      uint32_t id = 0;
      std::memcpy(&id, bytes.data() + i * width_, width_);
      check(id <= INT32_MAX, name_, ": token ", read_ + static_cast<int64_t>(i), " has id ", id);
      document.tokens[i] = static_cast<int32_t>(id);
    }
    document.starts = read_ == 0;
    document.ends = ended_;
    read_ += static_cast<int64_t>(count);
    check(declared_ < 0 || (ended_ ? read_ == declared_ : read_ <= declared_), name_,
          ": its header says ", declared_, " tokens but ", ended_ ? "" : "at least ", read_,
          " follow");
    return count > 0;
  }

 private:
  ByteSource& source_;
  std::string name_;
  size_t width_ = 2;
  int64_t declared_ = -1, read_ = 0;
  std::string carried_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Parser> make_token_parser(ByteSource& source, InputFormat format) {
  return std::make_unique<TokenParser>(source, format);
}

}  // namespace pointwork
