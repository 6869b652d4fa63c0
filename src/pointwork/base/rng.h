#pragma once
// Counter-based random numbers: a value is a pure function of (key, counter), so it depends on no
// order of calls, no thread count and no device. Philox 4x32-10: Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011.

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace pointwork {

// A 64-bit key mixed from a seed and a name, so that every use has its own stream.
constexpr uint64_t stream_key(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a over the name, then SplitMix64's finaliser
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  hash += 0x9e3779b97f4a7c15u * (seed + 1);
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
  return hash ^ (hash >> 31);
}

constexpr std::array<uint32_t, 4> philox(uint64_t key, uint64_t low, uint64_t high) {
  uint32_t c0 = static_cast<uint32_t>(low), c1 = static_cast<uint32_t>(low >> 32);
  uint32_t c2 = static_cast<uint32_t>(high), c3 = static_cast<uint32_t>(high >> 32);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

// 64 random bits.
constexpr uint64_t random_bits(uint64_t key, uint64_t low, uint64_t high = 0) {
  const auto word = philox(key, low, high);
  return (uint64_t{word[1]} << 32) | word[0];
}

// Uniform in (0, 1), never 0 or 1: 52 bits, centred.
constexpr double random_uniform(uint64_t key, uint64_t low, uint64_t high = 0) {
  return (static_cast<double>(random_bits(key, low, high) >> 12) + 0.5) * 0x1p-52;
}

// N(0, 1) by Box-Muller.
inline double random_normal(uint64_t key, uint64_t low, uint64_t high = 0) {
  const auto word = philox(key, low, high);
  const double u = ((uint64_t{word[1]} << 32 | word[0]) >> 12) * 0x1p-52 + 0x1p-53;
  const double v = ((uint64_t{word[3]} << 32 | word[2]) >> 12) * 0x1p-52 + 0x1p-53;
  return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586476925286766559 * v);
}

// Uniform in 0 .. n-1 by Lemire's multiplication; the bias is below n / 2^64.
constexpr uint64_t random_below(uint64_t n, uint64_t key, uint64_t low, uint64_t high = 0) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(random_bits(key, low, high)) * n) >>
                               64);
}

}  // namespace pointwork
