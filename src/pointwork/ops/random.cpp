#include "pointwork/ops/random.h"

#include "pointwork/base/check.h"
#include "pointwork/kernels/random.h"
#include "pointwork/ops/device.h"

namespace pointwork {
namespace {

constexpr int64_t kLow = 0xFFFFFFFF;

// Both halves of a product of two 32-bit words, which are held in int64 throughout: a product wraps
// as an unsigned one does.
struct Halves {
  Tensor high, low;
};
Halves multiply(const Tensor& word, int64_t by) {
  const Tensor product = word * by;
  return {product.bitwise_right_shift(32).bitwise_and(kLow), product.bitwise_and(kLow)};
}

Tensor random_with_library(uint64_t key, const Tensor& position, const Tensor& sequence,
                           const Tensor& sequence_key, int64_t width, const Tensor& first_column) {
  const auto longs = position.options().dtype(torch::kInt64);
  const auto word = [](const Tensor& x) { return x.to(torch::kInt64).bitwise_and(kLow); };
  Tensor block = torch::arange((width + 3) / 4, longs).unsqueeze(0);
  if (first_column.defined())
    block = block + first_column.to(torch::kInt64).div(4, "floor").unsqueeze(1);
  const Tensor named =
      sequence_key.to(position.device()).index_select(0, sequence.to(torch::kInt64)).unsqueeze(1);
  // Philox 4x32-10 as in base/rng.h.
  Tensor c0 = word(position.unsqueeze(1)), c1 = word(block), c2 = word(named),
         c3 = word(named.bitwise_right_shift(32));
  auto k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const Halves p0 = multiply(c0, 0xD2511F53), p1 = multiply(c2, 0xCD9E8D57);
    c0 = p1.high.bitwise_xor(c1).bitwise_xor(static_cast<int64_t>(k0));
    c2 = p0.high.bitwise_xor(c3).bitwise_xor(static_cast<int64_t>(k1));
    c1 = p1.low;
    c3 = p0.low;
  }
  const Tensor words =
      torch::stack(torch::broadcast_tensors({c0, c1, c2, c3}), 2).flatten(1).slice(1, 0, width);
  return (words.bitwise_right_shift(9).to(torch::kFloat32) + 0.5) * 0x1p-23;
}

}  // namespace

Tensor random_rows(uint64_t key, const Tensor& position, const Tensor& sequence,
                   const Tensor& sequence_key, int64_t width, const Tensor& first_column) {
  const auto check_rows = [&](const char* what, const Tensor& x) {
    check(x.scalar_type() == torch::kInt32 && x.sizes() == position.sizes(), "[random_rows] ", what,
          " must be int32 ", position.sizes(), " but is ", x.scalar_type(), " ", x.sizes());
  };
  check(position.dim() == 1, "[random_rows] positions must be [T] but have shape ",
        position.sizes());
  check_rows("position", position);
  check_rows("sequence", sequence);
  if (first_column.defined()) check_rows("first_column", first_column);
  check(sequence_key.dim() == 1 && sequence_key.scalar_type() == torch::kInt64 &&
            sequence_key.is_cpu(),
        "[random_rows] sequence keys must be int64 [B] on the CPU but are ",
        sequence_key.scalar_type(), " ", sequence_key.sizes());
  check(width >= 0, "[random_rows] no width of ", width);
  // Elsewhere than on the CPU reading these would wait for the device.
  if (position.is_cpu() && position.numel() > 0) {
    const auto most = sequence.max().item<int64_t>(), least = sequence.min().item<int64_t>();
    check(least >= 0 && most < sequence_key.size(0), "[random_rows] sequences must be 0 .. ",
          sequence_key.size(0) - 1, " but are ", least, " .. ", most);
    check(!first_column.defined() || !first_column.remainder(4).any().item<bool>(),
          "[random_rows] first columns must be multiples of 4");
  }
  if (!use_kernel(position))
    return random_with_library(key, position, sequence, sequence_key, width, first_column);
  const Tensor at = position.contiguous(), of = sequence.contiguous();
  const Tensor named = sequence_key.contiguous();
  const Tensor first = first_column.defined() ? first_column.contiguous() : first_column;
  Tensor out = torch::empty({position.size(0), width}, torch::kFloat32);
  kernels::cpu::random_rows({.key = key,
                             .position = at.data_ptr<int32_t>(),
                             .sequence = of.data_ptr<int32_t>(),
                             .sequence_key = named.data_ptr<int64_t>(),
                             .first_column = first.defined() ? first.data_ptr<int32_t>() : nullptr,
                             .rows = position.size(0),
                             .width = width},
                            out.data_ptr<float>());
  return out;
}

}  // namespace pointwork
