#pragma once
// Eight numbers at a time: how the CPU kernels read, write and sum rows of any element type and
// length.
//
// GCC's vector types, not intrinsics: arithmetic is written once and compiles for AVX2 and for
// machines without it.

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "pointwork/kernels/bfloat16.h"

// Vectors wider than a register are passed between inlined functions only.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace pointwork::kernels::simd {

#define POINTWORK_INLINE inline __attribute__((always_inline))

inline constexpr int64_t kLanes = 8;

using Float8 = float __attribute__((vector_size(32)));
using Double8 = double __attribute__((vector_size(64)));
using Int8 = int32_t __attribute__((vector_size(32)));
using Word8 = uint32_t __attribute__((vector_size(32)));
using Long8 = int64_t __attribute__((vector_size(64)));
using Half8 = uint16_t __attribute__((vector_size(16)));

template <class A>
using Lanes = std::conditional_t<std::is_same_v<A, double>, Double8, Float8>;
template <class T>
using LanesOf = Lanes<Accumulator<T>>;

// How much of a vector exists: all of it, or the first `count` lanes at the end of a row.
struct Full {};
struct Part {
  int64_t count;
};

template <class V>
POINTWORK_INLINE V broadcast(double value) {
  using A = std::decay_t<decltype(V{}[0])>;
  return V{} + static_cast<A>(value);
}

POINTWORK_INLINE Float8 load(const float* p, Full) {
  Float8 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
POINTWORK_INLINE Double8 load(const double* p, Full) {
  Double8 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
POINTWORK_INLINE Float8 load(const BFloat16* p, Full) {
  Half8 v;
  std::memcpy(&v, p, sizeof v);
  return std::bit_cast<Float8>(__builtin_convertvector(v, Word8) << 16);
}
// Lanes beyond the row are 0.
template <class T>
POINTWORK_INLINE LanesOf<T> load(const T* p, Part part) {
  T row[kLanes] = {};
  std::memcpy(row, p, static_cast<size_t>(part.count) * sizeof(T));
  return load(row, Full{});
}

POINTWORK_INLINE void store(float* p, Float8 v, Full) { std::memcpy(p, &v, sizeof v); }
POINTWORK_INLINE void store(double* p, const Double8& v, Full) { std::memcpy(p, &v, sizeof v); }
POINTWORK_INLINE void store(BFloat16* p, Float8 v, Full) {
  const Word8 word = std::bit_cast<Word8>(v);
  const Word8 rounded = (word + 0x7FFFu + ((word >> 16) & 1u)) >> 16;
  const Word8 nan = Word8{} + 0x7FC0u;
  const Half8 half = __builtin_convertvector(v == v ? rounded : nan, Half8);
  std::memcpy(p, &half, sizeof half);
}
template <class T>
POINTWORK_INLINE void store(T* p, LanesOf<T> v, Part part) {
  T row[kLanes];
  store(row, v, Full{});
  std::memcpy(p, row, static_cast<size_t>(part.count) * sizeof(T));
}

// v, with `other` in the lanes that do not exist.
template <class V>
POINTWORK_INLINE V keep(V v, Full, double = 0) {
  return v;
}
template <class V>
POINTWORK_INLINE V keep(V v, Part part, double other = 0) {
  using A = std::decay_t<decltype(v[0])>;
  if constexpr (std::is_same_v<A, double>) {
    const Long8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
    return lane < part.count ? v : broadcast<V>(other);
  } else {
    const Int8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
    return lane < static_cast<int32_t>(part.count) ? v : broadcast<V>(other);
  }
}

template <class V>
POINTWORK_INLINE V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
POINTWORK_INLINE auto sum_lanes(V v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
template <class V>
POINTWORK_INLINE auto largest_lane(V v) {
  auto most = v[0];
  for (int i = 1; i < kLanes; ++i) most = v[i] > most ? v[i] : most;
  return most;
}

// body(i, Full or Part) for i = 0, 8, 16 … below count.
template <class Body>
POINTWORK_INLINE void for_each_vector(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, Full{});
  if (i < count) body(i, Part{count - i});
}

// Σ over a row of term(i, Full or Part), which must be 0 in the lanes that do not exist. Four
// running sums hide the latency of one; the order of the additions follows from count alone.
template <class V, class Term>
POINTWORK_INLINE V sum_vectors(int64_t count, const Term& term) {
  V a{}, b{}, c{}, d{};
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    a += term(i, Full{});
    b += term(i + kLanes, Full{});
    c += term(i + 2 * kLanes, Full{});
    d += term(i + 3 * kLanes, Full{});
  }
  for (; i + kLanes <= count; i += kLanes) a += term(i, Full{});
  if (i < count) b += term(i, Part{count - i});
  return (a + b) + (c + d);
}

}  // namespace pointwork::kernels::simd
