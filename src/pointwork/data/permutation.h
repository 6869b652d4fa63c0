#pragma once
// A shuffled order that needs no table.

#include <cstdint>

namespace pointwork {

// A bijection of 0 .. n-1 chosen by `key`: a Feistel network over the next power of four, walked
// until it falls below n (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). On
// average under four network evaluations.
uint64_t permuted(uint64_t index, uint64_t n, uint64_t key);

}  // namespace pointwork
