#include "pointwork/data/pieces.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/data/utf8.h"

namespace pointwork {

size_t last_safe_cut(std::string_view text, size_t limit) {
  size_t any = 0;
  for (size_t at = std::min(limit, text.size()); at-- > 1;) {
    if (any != 0 && at < limit / 2) break;
    const char c = text[at];
    if (c != '\n' && (c != ' ' || any != 0)) continue;
    if (ends_in_white_space(text, at)) continue;
    if (c == '\n') return at;
    any = at;
  }
  return any;
}

void PieceBuffer::append(std::string_view text, uint64_t offset) {
  if (head_ == text_.size()) {
    text_.clear();
    head_ = 0;
    if (starts_) offset_ = offset;
  } else if (head_ > 0 && text_.size() + text.size() > text_.capacity()) {
    text_.erase(0, head_);
    head_ = 0;
  }
  text_.append(text);
}

bool PieceBuffer::take(Document& document) {
  const std::string_view rest = std::string_view(text_).substr(head_);
  if (rest.size() <= threshold_) return false;
  size_t cut = last_safe_cut(rest, threshold_);
  if (cut == 0) {
    const size_t longest = std::max(kLongestRun, options_.piece_bytes);
    if (threshold_ < longest) {
      threshold_ = std::min(longest, 2 * threshold_);
      return take(document);
    }
    cut = longest;
    for (int i = 0; i < 3 && (static_cast<unsigned char>(rest[cut]) & 0xC0) == 0x80; ++i) --cut;
    if (!noted_ && options_.note) {
      options_.note(concat(name_, ": more than ", longest >> 20,
                           " MiB without white space; cut there, so one token may differ"));
    }
    noted_ = true;
  }
  threshold_ = options_.piece_bytes;
  give(cut, document);
  document.ends = false;
  return true;
}

bool PieceBuffer::finish(Document& document) {
  const bool some = head_ < text_.size();
  if (some) {
    give(text_.size() - head_, document);
    document.ends = true;
  }
  starts_ = true;
  threshold_ = options_.piece_bytes;
  return some;
}

void PieceBuffer::give(size_t length, Document& document) {
  const std::string_view piece = std::string_view(text_).substr(head_, length);
  const size_t bad = checked_ ? piece.size() : first_invalid(piece);
  if (bad < piece.size()) {
    check(options_.replace_invalid, name_, ": ", piece[bad] == 0 ? "a NUL byte" : "no UTF-8",
          " at byte ", offset_ + bad,
          ": not a text file (--replace-invalid reads it with U+FFFD in such places)");
    document.text = replace_invalid(piece, replaced_);
  } else {
    document.text.assign(piece);
  }
  document.tokens.clear();
  document.starts = starts_;
  starts_ = false;
  head_ += length;
  offset_ += length;
}

}  // namespace pointwork
