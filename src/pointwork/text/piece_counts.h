#pragma once
// How often each piece of text occurs.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pointwork {

class PieceCounts {
 public:
  PieceCounts();
  void add(std::string_view piece, uint64_t count = 1);
  void add_text(std::string_view text);  // every piece of GPT-2's split pattern
  void add_all(const PieceCounts& other);
  void clear();

  size_t size() const { return entries_.size(); }  // different pieces
  std::string_view piece(size_t i) const;
  uint64_t count(size_t i) const { return entries_[i].count; }

 private:
  struct Entry {
    uint64_t begin, count;
    uint32_t length, hash;
  };
  void grow();

  std::string bytes_;            // of all pieces
  std::vector<Entry> entries_;   // in the order in which they came
  std::vector<uint32_t> table_;  // open addressing: 1 + an index of entries_, 0: empty
};

}  // namespace pointwork
