#include "pointwork/data/permutation.h"

#include <bit>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"

namespace pointwork {

uint64_t permuted(uint64_t index, uint64_t n, uint64_t key) {
  check(index < n, "index ", index, " is not below ", n);
  if (n == 1) return 0;
  constexpr uint64_t kRounds = 8;
  const int half = (std::bit_width(n - 1) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  uint64_t value = index;
  do {
    uint64_t left = value >> half, right = value & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (random_bits(key, right, round) & mask);
      left = right;
      right = mixed;
    }
    value = left << half | right;
  } while (value >= n);
  return value;
}

}  // namespace pointwork
