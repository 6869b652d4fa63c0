#include "pointwork/text/merger.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>
#include <unordered_map>

#include "pointwork/base/check.h"
#include "pointwork/text/stand_in.h"

namespace pointwork {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
constexpr size_t kShort = 96;  // bytes up to which looking at every pair beats a heap

uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

constexpr uint64_t kMix = 0x9E3779B97F4A7C15u;

}  // namespace

Merger::Merger(const Vocabulary& vocabulary) {
  std::unordered_map<std::string_view, int32_t> ids;
  ids.reserve(vocabulary.tokens.size());
  std::vector<bool> added(vocabulary.tokens.size());
  for (const AddedToken& token : vocabulary.added) added[static_cast<size_t>(token.id)] = true;
  for (const bool pass : {false, true}) {  // an added token may be spelt like one that merges make
    for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      if (added[id] == pass) ids.emplace(vocabulary.tokens[id], static_cast<int32_t>(id));
    }
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto found = ids.find(std::string_view(&c, 1));
    check(found != ids.end(), "the vocabulary has no token '", to_stand_ins({&c, 1}), "' for byte ",
          byte, "; a byte-level BPE has one for each of the 256");
    bytes_[byte] = found->second;
  }
  const int bits = std::max(4, static_cast<int>(std::bit_width(vocabulary.merges.size() * 2)));
  slots_.resize(size_t{1} << bits);
  shift_ = 64 - bits;
  uint32_t rank = 0;
  for (const auto& [left, right] : vocabulary.merges) {
    const std::string whole = vocabulary.tokens[static_cast<size_t>(left)] +
                              vocabulary.tokens[static_cast<size_t>(right)];
    const auto found = ids.find(whole);
    if (found == ids.end())
      fail("merge ", rank, " makes '", to_stand_ins(whole), "', which the vocabulary lacks");
    const uint64_t key = pair_key(left, right);
    uint64_t at = key * kMix >> shift_;
    while (slots_[at].pair != UINT64_MAX) {
      check(slots_[at].pair != key, "merge ", rank, " is merge ", slots_[at].rank, " again");
      at = (at + 1) & (slots_.size() - 1);
    }
    slots_[at] = {.pair = key, .rank = rank++, .id = found->second};
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

void Merger::merge(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() <= kShort) {
    merge_short(piece, ids);
  } else {
    merge_long(piece, ids);
  }
}

void Merger::merge_short(std::string_view piece, std::vector<int32_t>& ids) const {
  std::array<int32_t, kShort> parts;
  std::array<uint32_t, kShort> ranks;  // of the pair a part makes with the next
  std::array<int32_t, kShort> whole;   // and the id it becomes
  size_t n = piece.size();
  const auto look = [&](size_t i) {
    const Slot& slot = find(parts[i], parts[i + 1]);
    ranks[i] = slot.rank;
    whole[i] = slot.id;
  };
  for (size_t i = 0; i < n; ++i) parts[i] = bytes_[static_cast<unsigned char>(piece[i])];
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

void Merger::merge_long(std::string_view piece, std::vector<int32_t>& ids) const {
  check(piece.size() < kNone, "text with a run of ", piece.size(),
        " bytes that cannot be split is too long to encode");
  struct Part {
    int32_t id, whole;      // whole: what it becomes with the next
    uint32_t rank;          // of that
    uint32_t before, next;  // kNone at the ends
  };
  const auto n = static_cast<uint32_t>(piece.size());
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
    parts[i] = {.id = bytes_[static_cast<unsigned char>(piece[i])],
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
