#pragma once
// Cuts long documents into pieces that tokenise as the whole does.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "pointwork/data/source.h"

namespace pointwork {

// Where GPT-2's split pattern surely splits: before an ASCII white-space character that follows a
// character which is none. No alternative of the pattern crosses such a place (letters, digits and
// marks take white space only in front), and none looks back. The last such place in 1 .. limit -
// 1, a line end where there is one in the last half; 0: none.
size_t last_safe_cut(std::string_view text, size_t limit);

// Collects one document at a time and hands it out in pieces.
class PieceBuffer {
 public:
  static constexpr size_t kLongestRun = size_t{1} << 24;  // without white space

  // `checked`: what is appended is known to be UTF-8, and may hold NUL.
  PieceBuffer(const SourceOptions& options, std::string name, bool checked = false)
      : options_(options),
        name_(std::move(name)),
        threshold_(options.piece_bytes),
        checked_(checked) {}

  // `offset` of the text in its file names the place in errors.
  void append(std::string_view text, uint64_t offset);

  // A piece, if there is more than one piece's worth.
  bool take(Document& document);
  // What is left of the document, which ends. False if the document is empty.
  bool finish(Document& document);

  uint64_t replaced() const { return replaced_; }

 private:
  void give(size_t length, Document& document);

  const SourceOptions& options_;
  std::string name_;
  std::string text_;
  size_t head_ = 0;      // text_ before it was handed out
  uint64_t offset_ = 0;  // of text_[head_] in the file
  size_t threshold_;
  bool checked_;
  bool starts_ = true;
  bool noted_ = false;
  uint64_t replaced_ = 0;
};

}  // namespace pointwork
