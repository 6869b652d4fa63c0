#pragma once
// The element types of the kernels: float, double and BFloat16, and what each is summed in.

#include <bit>
#include <cstdint>
#include <type_traits>

namespace pointwork::kernels {

// The upper half of a float, rounded to nearest even; a NaN becomes the quiet NaN 0x7FC0. The same
// two bytes as at::BFloat16.
struct BFloat16 {
  uint16_t bits;

  BFloat16() = default;
  explicit BFloat16(float value) : bits(round(value)) {}
  operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

  static uint16_t round(float value) {
    const uint32_t word = std::bit_cast<uint32_t>(value);
    if ((word & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FC0;
    return static_cast<uint16_t>((word + 0x7FFFu + ((word >> 16) & 1u)) >> 16);
  }
};
static_assert(sizeof(BFloat16) == 2 && std::is_trivially_copyable_v<BFloat16>);

// double for double, float otherwise.
template <class T>
using Accumulator = std::conditional_t<std::is_same_v<T, double>, double, float>;

}  // namespace pointwork::kernels
