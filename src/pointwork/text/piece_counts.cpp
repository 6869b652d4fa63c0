#include "pointwork/text/piece_counts.h"

#include <cstring>

#include "pointwork/base/check.h"
#include "pointwork/text/piece_hash.h"
#include "pointwork/text/split.h"

namespace pointwork {

PieceCounts::PieceCounts() : table_(1 << 12) {}

std::string_view PieceCounts::piece(size_t i) const {
  return std::string_view(bytes_).substr(entries_[i].begin, entries_[i].length);
}

void PieceCounts::add(std::string_view piece, uint64_t count) {
  check(piece.size() < UINT32_MAX, "text with a run of ", piece.size(),
        " bytes that cannot be split is too long to learn from");
  const auto hash = static_cast<uint32_t>(piece_hash(piece) >> 32);
  size_t at = hash & (table_.size() - 1);
  for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
    Entry& entry = entries_[table_[at] - 1];
    if (entry.hash == hash && entry.length == piece.size() &&
        std::memcmp(bytes_.data() + entry.begin, piece.data(), piece.size()) == 0) {
      entry.count += count;
      return;
    }
  }
  check(entries_.size() < UINT32_MAX - 1, "text with more than ", UINT32_MAX - 1,
        " different pieces is too much to learn from");
  entries_.push_back({.begin = bytes_.size(),
                      .count = count,
                      .length = static_cast<uint32_t>(piece.size()),
                      .hash = hash});
  bytes_ += piece;
  table_[at] = static_cast<uint32_t>(entries_.size());
  if (entries_.size() * 2 > table_.size()) grow();
}

void PieceCounts::grow() {
  table_.assign(table_.size() * 2, 0);
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t at = entries_[i].hash & (table_.size() - 1);
    while (table_[at] != 0) at = (at + 1) & (table_.size() - 1);
    table_[at] = static_cast<uint32_t>(i + 1);
  }
}

void PieceCounts::add_text(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = piece_end(text, at);
    add(text.substr(at, end - at));
    at = end;
  }
}

void PieceCounts::add_all(const PieceCounts& other) {
  for (size_t i = 0; i < other.size(); ++i) add(other.piece(i), other.count(i));
}

void PieceCounts::clear() { *this = PieceCounts(); }

}  // namespace pointwork
