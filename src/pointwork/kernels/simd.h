#pragma once
// One register of numbers at a time: how the CPU kernels read, write and sum rows of any element
// type and length.
//
// GCC's vector types, not intrinsics: arithmetic is written once and compiles for AVX2 and for
// machines without it.

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "pointwork/kernels/bfloat16.h"

namespace pointwork::kernels::simd {

#define POINTWORK_INLINE inline __attribute__((always_inline))

using Float8 = float __attribute__((vector_size(32)));
using Double4 = double __attribute__((vector_size(32)));
using Int8 = int32_t __attribute__((vector_size(32)));
using Word8 = uint32_t __attribute__((vector_size(32)));
using Long4 = int64_t __attribute__((vector_size(32)));
using Half8 = uint16_t __attribute__((vector_size(16)));

// The vector in which elements of type T are computed: Float8, or Double4 for double.
template <class T>
using LanesOf = std::conditional_t<std::is_same_v<T, double>, Double4, Float8>;

template <class V>
inline constexpr int64_t kLanes = std::is_same_v<V, Double4> ? 4 : 8;

// How much of a vector exists: all of it, or the first `count` lanes at the end of a row.
struct Full {};
struct Part {
  int64_t count;
};

// Subtracting 0 keeps −0, which adding it would not.
template <class V, class A>
POINTWORK_INLINE V broadcast(A value) {
  return static_cast<std::decay_t<decltype(V{}[0])>>(value) - V{};
}

POINTWORK_INLINE Float8 load(const float* p, Full) {
  Float8 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
POINTWORK_INLINE Double4 load(const double* p, Full) {
  Double4 v;
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
  T row[kLanes<LanesOf<T>>] = {};
  std::memcpy(row, p, static_cast<size_t>(part.count) * sizeof(T));
  return load(row, Full{});
}

POINTWORK_INLINE void store(float* p, Float8 v, Full) { std::memcpy(p, &v, sizeof v); }
POINTWORK_INLINE void store(double* p, Double4 v, Full) { std::memcpy(p, &v, sizeof v); }
POINTWORK_INLINE void store(BFloat16* p, Float8 v, Full) {
  const Word8 word = std::bit_cast<Word8>(v);
  const Word8 rounded = (word + 0x7FFFu + ((word >> 16) & 1u)) >> 16;
  const Word8 nan = Word8{} + 0x7FC0u;
  const Half8 half = __builtin_convertvector(v == v ? rounded : nan, Half8);
  std::memcpy(p, &half, sizeof half);
}
template <class T>
POINTWORK_INLINE void store(T* p, LanesOf<T> v, Part part) {
  T row[kLanes<LanesOf<T>>];
  store(row, v, Full{});
  std::memcpy(p, row, static_cast<size_t>(part.count) * sizeof(T));
}

// v, with `other` in the lanes that do not exist.
template <class V>
POINTWORK_INLINE V keep(V v, Full, double = 0) {
  return v;
}
POINTWORK_INLINE Float8 keep(Float8 v, Part part, double other = 0) {
  const Int8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return lane < static_cast<int32_t>(part.count) ? v : broadcast<Float8>(other);
}
POINTWORK_INLINE Double4 keep(Double4 v, Part part, double other = 0) {
  const Long4 lane = {0, 1, 2, 3};
  return lane < part.count ? v : broadcast<Double4>(other);
}

POINTWORK_INLINE float sum_lanes(Float8 v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
POINTWORK_INLINE double sum_lanes(Double4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }

template <class V>
POINTWORK_INLINE auto largest_lane(V v) {
  auto most = v[0];
  for (int i = 1; i < kLanes<V>; ++i) most = v[i] > most ? v[i] : most;
  return most;
}

// body(i, Full or Part) for i = 0, 8, 16 … (0, 4, 8 … for double) below count.
template <class V, class Body>
POINTWORK_INLINE void for_each_vector(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes<V> <= count; i += kLanes<V>) body(i, Full{});
  if (i < count) body(i, Part{count - i});
}

// Two sums of one pass.
template <class V>
struct Pair {
  V first{}, second{};
  POINTWORK_INLINE Pair& operator+=(const Pair& other) {
    first += other.first;
    second += other.second;
    return *this;
  }
  POINTWORK_INLINE Pair operator+(const Pair& other) const {
    return {first + other.first, second + other.second};
  }
};

// Σ over a row of term(i, Full or Part), a V or Pair<V> that must be 0 in the lanes that do not
// exist. Four running sums hide the latency of one; the order of the additions follows from count
// alone.
template <class V, class Term>
POINTWORK_INLINE auto sum_vectors(int64_t count, const Term& term) {
  constexpr int64_t kStep = kLanes<V>;
  using Sum = decltype(term(int64_t{}, Full{}));
  Sum a{}, b{}, c{}, d{};
  int64_t i = 0;
  for (; i + 4 * kStep <= count; i += 4 * kStep) {
    a += term(i, Full{});
    b += term(i + kStep, Full{});
    c += term(i + 2 * kStep, Full{});
    d += term(i + 3 * kStep, Full{});
  }
  for (; i + kStep <= count; i += kStep) a += term(i, Full{});
  if (i < count) b += term(i, Part{count - i});
  return (a + b) + (c + d);
}

}  // namespace pointwork::kernels::simd
