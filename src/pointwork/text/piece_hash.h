#pragma once
// A fast hash of a short piece of text; its high bits are the good ones.

#include <cstdint>
#include <cstring>
#include <string_view>

namespace pointwork {

inline uint64_t piece_hash(std::string_view piece) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u;
  uint64_t hash = piece.size() * kOdd, word = 0;
  const char* data = piece.data();
  size_t left = piece.size();
  for (; left > 8; left -= 8, data += 8) {
    std::memcpy(&word, data, 8);
    hash = (hash ^ word) * kOdd;
    hash ^= hash >> 32;
  }
  word = 0;
  std::memcpy(&word, data, left);
  hash = (hash ^ word) * kOdd;
  hash = (hash ^ hash >> 32) * kOdd;
  return hash;
}

}  // namespace pointwork
