#pragma once
// exp(x) for float in a form that compilers vectorise.

#include <bit>
#include <cstdint>

namespace pointwork::kernels {

// Cody-Waite reduction and a degree-6 polynomial (minimax on [-ln 2 / 2, ln 2 / 2]): about 1 ulp
// for -87 ≤ x ≤ 88; below -87 it gives the value there (1.6e-38), above 88 that at 88.
inline float simd_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  const float scaled = x * 1.44269504088896341f;
  // Adding and taking away 1.5 · 2^23 rounds to nearest.
  const float shifted = scaled + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693145751953125f) - n * 1.42860682030941723212e-6f;
  float p = 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666666e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t exponent = (std::bit_cast<int32_t>(shifted) - 0x4b400000) << 23;
  return std::bit_cast<float>(std::bit_cast<int32_t>(p) + exponent);
}

}  // namespace pointwork::kernels
