#pragma once
// Merges by rank: the second half of encoding.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace pointwork {

class Merger {
 public:
  // merges[rank] becomes wholes[rank]. Error naming a pair that is there twice.
  Merger(std::span<const std::pair<int32_t, int32_t>> merges, std::span<const int32_t> wholes);

  // Appends the ids of one piece: its parts, of which again and again the leftmost pair of lowest
  // rank becomes one token. O(n log n). Overwrites `parts`.
  void merge(std::span<int32_t> parts, std::vector<int32_t>& ids) const;

  static constexpr size_t kShort = 96;  // parts up to which looking at every pair beats a heap

 private:
  struct Slot {
    uint64_t pair = UINT64_MAX;
    uint32_t rank = UINT32_MAX;
    int32_t id = -1;
  };
  const Slot& find(int32_t left, int32_t right) const;
  void merge_short(std::span<int32_t> parts, std::vector<int32_t>& ids) const;
  void merge_long(std::span<const int32_t> given, std::vector<int32_t>& ids) const;

  std::vector<Slot> slots_;  // open addressing, at most half full
  int shift_ = 0;
};

}  // namespace pointwork
