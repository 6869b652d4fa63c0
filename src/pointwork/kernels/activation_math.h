#pragma once
// The activations' functions and derivatives, a register at a time.

#include <cmath>

#include "pointwork/kernels/exp.h"
#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::simd {

POINTWORK_INLINE Float8 sigmoid(Float8 x) { return 1.0f / (1.0f + exp(-x)); }
POINTWORK_INLINE Double4 sigmoid(Double4 x) { return 1.0 / (1.0 + exp(-x)); }

// With E = e^(−2|x|) − 1: tanh |x| = −E / (2 + E), without loss of digits about 0. Its error is at
// most 3 · 2⁻²³ of it (tested): E's 1 ulp passes on at most twice, and there are two roundings.
POINTWORK_INLINE Float8 tanh(Float8 x) {
  constexpr int32_t kSign = INT32_MIN;
  const Float8 e = exp_minus_one(x < 0.0f ? 2.0f * x : -2.0f * x);
  const Int8 size = std::bit_cast<Int8>(e / (2.0f + e)) & ~kSign;
  return std::bit_cast<Float8>(size | (std::bit_cast<Int8>(x) & kSign));
}
POINTWORK_INLINE Double4 tanh(Double4 x) {
  Double4 y;
  for (int i = 0; i < kLanes<Double4>; ++i) y[i] = std::tanh(x[i]);
  return y;
}

// Φ(x) and the density φ(x) of the standard normal.
template <class V>
struct Normal {
  V below, density;
};

// With z = |x| / √2 and t = 1 / (1 + 0.4 z): erfc(z) = t · P(t) · exp(−z²), P a Chebyshev fit of
// degree 10 over z ≤ 10 (relative error 3e-9).
POINTWORK_INLINE Normal<Float8> normal(Float8 x) {
  constexpr float kRootHalf = 0.70710678118654752f, kInverseRootTwoPi = 0.39894228040143268f;
  const Float8 z = (x < 0.0f ? -x : x) * kRootHalf;
  const Float8 t = 1.0f / (1.0f + 0.4f * z);
  const Float8 e = exp(-0.5f * x * x);
  Float8 p = t * -0.015634169f + 0.061220539f;
  p = p * t - 0.033180564f;
  p = p * t - 0.15975234f;
  p = p * t + 0.23080037f;
  p = p * t - 0.087981068f;
  p = p * t + 0.1902791f;
  p = p * t + 0.15222993f;
  p = p * t + 0.21098405f;
  p = p * t + 0.22534419f;
  p = p * t + 0.22568996f;
  const Float8 tail = 0.5f * (p * t) * e;
  return {x < 0.0f ? tail : 1.0f - tail, kInverseRootTwoPi * e};
}
POINTWORK_INLINE Normal<Double4> normal(Double4 x) {
  Normal<Double4> out;
  for (int i = 0; i < 4; ++i) {
    out.below[i] = 0.5 * std::erfc(-x[i] * 0.70710678118654752440);
    out.density[i] = 0.39894228040143267794 * std::exp(-0.5 * x[i] * x[i]);
  }
  return out;
}

struct Gelu {
  template <class V>
  static POINTWORK_INLINE V value(V x) {
    return x * normal(x).below;
  }
  template <class V>
  static POINTWORK_INLINE V derivative(V x) {
    const auto n = normal(x);
    return n.below + x * n.density;
  }
};

// (1 + tanh u) / 2 is the sigmoid of 2u.
struct GeluTanh {
  template <class V>
  static POINTWORK_INLINE V value(V x) {
    return x * sigmoid(two_u(x));
  }
  template <class V>
  static POINTWORK_INLINE V derivative(V x) {
    using A = std::decay_t<decltype(x[0])>;
    const V s = sigmoid(two_u(x));
    const V slope = A(kTwoRootTwoOverPi) * (A(1) + A(3 * kCubic) * x * x);
    return s + x * s * (A(1) - s) * slope;
  }

 private:
  static constexpr double kTwoRootTwoOverPi = 1.59576912160573071176, kCubic = 0.044715;
  template <class V>
  static POINTWORK_INLINE V two_u(V x) {
    using A = std::decay_t<decltype(x[0])>;
    return A(kTwoRootTwoOverPi) * x * (A(1) + A(kCubic) * x * x);
  }
};

struct Relu {
  template <class V>
  static POINTWORK_INLINE V value(V x) {
    return x < V{} ? V{} : x;
  }
  template <class V>
  static POINTWORK_INLINE V derivative(V x) {
    return x > V{} ? broadcast<V>(1) : (x < V{} ? V{} : x);  // x: 0 or NaN
  }
};

struct Silu {
  template <class V>
  static POINTWORK_INLINE V value(V x) {
    return x * sigmoid(x);
  }
};

}  // namespace pointwork::kernels::simd
