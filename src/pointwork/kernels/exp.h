#pragma once
// exp of eight floats (at most 1 ulp of error where the result is normal, tested), and of eight
// doubles.

#include <cmath>

#include "pointwork/kernels/simd.h"

namespace pointwork::kernels::simd {

// x = n ln 2 + r with n = round(x / ln 2), |r| ≤ ln 2 / 2, for x within the range of exp.
struct ReducedExp {
  Int8 power;    // adding it to a float's bits multiplies by 2^n
  Float8 minus;  // e^r − 1
};

// e^r by a polynomial of degree 6 (minimax fit of (e^r − 1 − r) / r², relative error 5e-9).
POINTWORK_INLINE ReducedExp reduced_exp(Float8 x) {
  constexpr float kLog2E = 1.44269504088896341f;
  constexpr float kLn2High = 0.693145751953125f;  // 16 bits: n · kLn2High is exact
  constexpr float kLn2Low = 1.42860682030941723e-6f;
  constexpr float kRound = 12582912.0f;  // 1.5 · 2²³: adding it rounds to an integer

  const Float8 shifted = x * kLog2E + kRound;
  const Float8 n = shifted - kRound;
  const Float8 r = (x - n * kLn2High) - n * kLn2Low;
  // Horner's chain: two shorter ones would wait less, but round to 1.003 ulp.
  Float8 p = r * 0.00138144235f + 0.00836878649f;
  p = p * r + 0.0416683952f;
  p = p * r + 0.166665201f;
  p = p * r + 0.499999934f;
  // n is in the low bits of shifted.
  return {std::bit_cast<Int8>(shifted) << 23, (p * r) * r + r};
}

// e^x = 2^n · e^r. Below the smallest normal number the result is 0; above the largest it is +∞;
// NaN stays NaN.
POINTWORK_INLINE Float8 exp(Float8 x) {
  constexpr float kSmallest = -87.3365447505531f;  // ln of the smallest normal float
  constexpr float kLargest = 88.722839052068f;     // ln of the largest

  const ReducedExp reduced = reduced_exp(x);
  const Float8 p = reduced.minus + 1.0f;
  const Float8 result = std::bit_cast<Float8>(std::bit_cast<Int8>(p) + reduced.power);
  const Float8 infinite_or_nan = x + __builtin_inff();
  return x < kSmallest ? Float8{} : (x <= kLargest ? result : infinite_or_nan);
}

// e^x − 1 = 2^n · (e^r − 1) + (2^n − 1) of x ≤ 0: where x is small, n is 0 and no digit is lost.
POINTWORK_INLINE Float8 exp_minus_one(Float8 x) {
  const Float8 least = broadcast<Float8>(-30.0f);  // −1 to the last bit
  const ReducedExp reduced = reduced_exp(x < least ? least : x);
  const Float8 one = broadcast<Float8>(1.0f);
  const Float8 scale = std::bit_cast<Float8>(std::bit_cast<Int8>(one) + reduced.power);
  return scale * reduced.minus + (scale - 1.0f);
}

// Doubles serve tests and gradient checks: exactness, not speed.
POINTWORK_INLINE Double4 exp(Double4 x) {
  Double4 y;
  for (int i = 0; i < kLanes<Double4>; ++i) y[i] = std::exp(x[i]);
  return y;
}

}  // namespace pointwork::kernels::simd
