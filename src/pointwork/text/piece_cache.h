#pragma once
// Text repeats its pieces, so their ids are kept: one cache a thread, shared by all tokenizers.

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace pointwork {

class PieceCache {
 public:
  static constexpr size_t kLongest = 15, kMostIds = 3;

  // A short piece as a number.
  struct Key {
    uint64_t low = 0, high = 0;  // up to 15 bytes, the length in the last
    bool operator==(const Key&) const = default;
  };
  // text[at, at + length), at most kLongest bytes.
  static Key key(std::string_view text, size_t at, size_t length) {
    constexpr size_t kWhole = sizeof(Key);
    Key key;
    if (at + kWhole <= text.size()) {
      std::memcpy(&key, text.data() + at, kWhole);
      const auto bits = static_cast<unsigned>(length * 8);
      key.low &= bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
      key.high &= bits <= 64 ? 0 : (uint64_t{1} << (bits - 64)) - 1;
    } else {
      std::memcpy(&key, text.data() + at, length);
    }
    key.high |= uint64_t{length} << 56;
    return key;
  }

  struct Entry {
    Key key;
    uint32_t serial : 30;  // of the tokenizer, never 0
    uint32_t count : 2;
    std::array<int32_t, kMostIds> ids;
  };

  // Two entries share a place: the first is the one used last. Where neither is the piece, the
  // older makes room, to be filled by the caller.
  std::pair<Entry*, bool> find(const Key& key, uint32_t serial) {
    constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u;
    uint64_t hash = (key.low ^ (key.high << 32 | key.high >> 32)) * kOdd;
    hash = (hash ^ hash >> 32) * kOdd;
    Entry* const place = &entries_[(hash >> (65 - kBits)) * 2];
    if (place[0].key == key && place[0].serial == serial) return {place, true};
    std::swap(place[0], place[1]);
    return {place, place[0].key == key && place[0].serial == serial};
  }

  static PieceCache& of_thread() {
    thread_local PieceCache cache;
    return cache;
  }

 private:
  static constexpr int kBits = 16;
  static_assert(sizeof(Entry) == 32);
  std::vector<Entry> entries_ = std::vector<Entry>(size_t{1} << kBits);
};

}  // namespace pointwork
