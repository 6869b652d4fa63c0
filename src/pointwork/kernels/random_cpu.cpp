#include <algorithm>

#include "pointwork/base/rng.h"
#include "pointwork/kernels/parallel.h"
#include "pointwork/kernels/random.h"

namespace pointwork::kernels::cpu {
namespace {

float uniform(uint32_t word) { return (static_cast<float>(word >> 9) + 0.5f) * 0x1p-23f; }

// philox() of this many successive blocks, in lockstep so that they share vector registers.
constexpr int kBlocks = 16;

struct Lockstep {
  alignas(64) uint32_t word[4][kBlocks];

  void advance(uint32_t k0, uint32_t k1) {
#pragma omp simd
    for (int i = 0; i < kBlocks; ++i) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * word[0][i];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * word[2][i];
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ word[1][i] ^ k0;
      const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ word[3][i] ^ k1;
      word[1][i] = static_cast<uint32_t>(p1);
      word[3][i] = static_cast<uint32_t>(p0);
      word[0][i] = n0;
      word[2][i] = n2;
    }
  }
};

void fill_blocks(uint64_t key, uint32_t position, uint32_t block, uint64_t sequence_key,
                 float* out) {
  Lockstep state;
  for (int i = 0; i < kBlocks; ++i) {
    state.word[0][i] = position;
    state.word[1][i] = block + static_cast<uint32_t>(i);
    state.word[2][i] = static_cast<uint32_t>(sequence_key);
    state.word[3][i] = static_cast<uint32_t>(sequence_key >> 32);
  }
  auto k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
    state.advance(k0, k1);
  for (int i = 0; i < kBlocks; ++i)
    for (int w = 0; w < 4; ++w) out[4 * i + w] = uniform(state.word[w][i]);
}

}  // namespace

void random_rows(const RandomRows& from, float* out) {
  constexpr int64_t kStep = 4 * kBlocks;
#pragma omp parallel for schedule(static) if (worth_threads(4 * from.rows * from.width))
  for (int64_t t = 0; t < from.rows; ++t) {
    const auto position = static_cast<uint32_t>(from.position[t]);
    const auto first = static_cast<uint32_t>(from.first_column ? from.first_column[t] : 0) / 4;
    const auto sequence_key = static_cast<uint64_t>(from.sequence_key[from.sequence[t]]);
    float* row = out + t * from.width;
    int64_t i = 0;
    for (; i + kStep <= from.width; i += kStep)
      fill_blocks(from.key, position, first + static_cast<uint32_t>(i / 4), sequence_key, row + i);
    for (; i < from.width; i += 4) {
      const uint64_t block = first + static_cast<uint32_t>(i / 4);
      const auto word = philox(from.key, position | block << 32, sequence_key);
      for (int64_t w = 0; w < std::min<int64_t>(4, from.width - i); ++w)
        row[i + w] = uniform(word[static_cast<size_t>(w)]);
    }
  }
}

}  // namespace pointwork::kernels::cpu
