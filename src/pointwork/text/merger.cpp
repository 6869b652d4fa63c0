#include "pointwork/text/merger.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <queue>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

constexpr uint64_t kMix = 0x9E3779B97F4A7C15u;

}  // namespace

Merger::Merger(std::span<const std::pair<int32_t, int32_t>> merges,
               std::span<const int32_t> wholes) {
  const int bits = std::max(4, static_cast<int>(std::bit_width(merges.size() * 2)));
  slots_.resize(size_t{1} << bits);
  shift_ = 64 - bits;
  uint32_t rank = 0;
  for (const auto& [left, right] : merges) {
    const uint64_t key = pair_key(left, right);
    uint64_t at = key * kMix >> shift_;
    while (slots_[at].pair != UINT64_MAX) {
      check(slots_[at].pair != key, "merge ", rank, " is merge ", slots_[at].rank, " again");
      at = (at + 1) & (slots_.size() - 1);
    }
    slots_[at] = {.pair = key, .rank = rank, .id = wholes[rank]};
    ++rank;
  }
}

// The slot of the pair, or an empty one: rank kNone.
const Merger::Slot& Merger::find(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  uint64_t at = key * kMix >> shift_;
  while (slots_[at].pair != key && slots_[at].pair != UINT64_MAX)
    at = (at + 1) & (slots_.size() - 1);
  return slots_[at];
}

void Merger::merge(std::span<int32_t> parts, std::vector<int32_t>& ids) const {
  if (parts.size() <= kShort) {
    merge_short(parts, ids);
  } else {
    merge_long(parts, ids);
  }
}

void Merger::merge_short(std::span<int32_t> parts, std::vector<int32_t>& ids) const {
  std::array<uint32_t, kShort> ranks;  // of the pair a part makes with the next
  std::array<int32_t, kShort> whole;   // and the id it becomes
  size_t n = parts.size();
  const auto look = [&](size_t i) {
    const Slot& slot = find(parts[i], parts[i + 1]);
    ranks[i] = slot.rank;
    whole[i] = slot.id;
  };
  for (size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == kNone) break;
    parts[best] = whole[best];
    --n;
    for (size_t i = best + 1; i < n; ++i) {
      parts[i] = parts[i + 1];
      ranks[i] = ranks[i + 1];
      whole[i] = whole[i + 1];
    }
    if (best > 0) look(best - 1);
    if (best + 1 < n) look(best);
  }
  ids.insert(ids.end(), parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(n));
}

void Merger::merge_long(std::span<const int32_t> given, std::vector<int32_t>& ids) const {
  check(given.size() < kNone, "text with a run of ", given.size(),
        " parts that cannot be split is too long to encode");
  struct Part {
    int32_t id, whole;      // whole: what it becomes with the next
    uint32_t rank;          // of that
    uint32_t before, next;  // kNone at the ends
  };
  const auto n = static_cast<uint32_t>(given.size());
  std::vector<Part> parts(n);
  std::vector<uint64_t> pairs;  // rank, then place: the least is the leftmost of lowest rank
  pairs.reserve(n);
  const auto look = [&](uint32_t i) {
    Part& part = parts[i];
    part.rank = kNone;
    if (part.next == kNone) return false;
    const Slot& slot = find(part.id, parts[part.next].id);
    part.rank = slot.rank;
    part.whole = slot.id;
    return part.rank != kNone;
  };
  const auto entry = [&](uint32_t i) { return uint64_t{parts[i].rank} << 32 | i; };
  for (uint32_t i = 0; i < n; ++i) {
    parts[i] = {.id = given[i],
                .whole = -1,
                .rank = kNone,
                .before = i == 0 ? kNone : i - 1,
                .next = i + 1 == n ? kNone : i + 1};
  }
  for (uint32_t i = 0; i < n; ++i) {
    if (look(i)) pairs.push_back(entry(i));
  }
  std::priority_queue queue(std::greater<uint64_t>(), std::move(pairs));
  while (!queue.empty()) {
    const uint64_t top = queue.top();
    queue.pop();
    const auto i = static_cast<uint32_t>(top);
    if (parts[i].rank != top >> 32) continue;  // it has changed since
    Part& part = parts[i];
    Part& eaten = parts[part.next];
    part.id = part.whole;
    eaten.rank = kNone;
    part.next = eaten.next;
    if (part.next != kNone) parts[part.next].before = i;
    if (look(i)) queue.push(entry(i));
    if (part.before != kNone && look(part.before)) queue.push(entry(part.before));
  }
  for (uint32_t i = 0; i != kNone; i = parts[i].next) ids.push_back(parts[i].id);
}

}  // namespace pointwork
