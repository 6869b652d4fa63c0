#pragma once
// Merges by rank: the second half of encoding.

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "pointwork/text/vocabulary.h"

namespace pointwork {

class Merger {
 public:
  // Error naming a pair of tokens that has no token for its bytes, or no token for a byte.
  explicit Merger(const Vocabulary& vocabulary);

  // Appends the ids of one piece: its bytes, of which again and again the leftmost pair of lowest
  // rank becomes one token. O(n log n).
  void merge(std::string_view piece, std::vector<int32_t>& ids) const;

 private:
  struct Slot {
    uint64_t pair = UINT64_MAX;
    uint32_t rank = UINT32_MAX;
    int32_t id = -1;
  };
  const Slot& find(int32_t left, int32_t right) const;
  void merge_short(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_long(std::string_view piece, std::vector<int32_t>& ids) const;

  std::vector<Slot> slots_;  // open addressing, at most half full
  int shift_ = 0;
  std::array<int32_t, 256> bytes_{};
};

}  // namespace pointwork
