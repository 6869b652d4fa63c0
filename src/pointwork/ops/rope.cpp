#include "pointwork/ops/rope.h"

#include <torch/csrc/autograd/custom_function.h>

#include <bit>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/kernels/rope.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/kernel_types.h"

namespace pointwork {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

using Frequencies = std::vector<double>;

Tensor with_library(const Tensor& x, const Tensor& position, const Frequencies& frequency) {
  const auto half = static_cast<int64_t>(frequency.size());
  const Tensor angle =
      (position.to(torch::kFloat64).unsqueeze(1) *
       torch::tensor(frequency, torch::TensorOptions().dtype(torch::kFloat64).device(x.device())))
          .unsqueeze(1);
  const auto wide = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const Tensor c = angle.cos().to(wide), s = angle.sin().to(wide);
  const Tensor a = x.slice(2, 0, half).to(wide), b = x.slice(2, half, 2 * half).to(wide);
  return torch::cat({(a * c - b * s).to(x.scalar_type()), (b * c + a * s).to(x.scalar_type()),
                     x.slice(2, 2 * half)},
                    2);
}

// Tables of cosines and sines, kept for as long as the program runs: a model needs one, and it only
// grows.
const float* table_for(int64_t positions, const Frequencies& frequency) {
  struct Table {
    int64_t positions = 0;
    std::vector<float> values;
  };
  static std::mutex mutex;
  static std::map<Frequencies, std::deque<Table>> tables;
  const std::lock_guard lock(mutex);
  std::deque<Table>& of = tables[frequency];
  if (of.empty() || of.back().positions < positions) {
    const auto size = static_cast<int64_t>(
        std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(positions, 256))));
    // Older, smaller tables stay: another thread may be reading one.
    of.push_back({size, kernels::cpu::rope_table(size, frequency)});
  }
  return of.back().values.data();
}

Tensor with_kernel(const Tensor& x, const Tensor& position, const Frequencies& frequency,
                   bool inverse) {
  // A slice of a packed projection has whole heads in a row: only its rows are strided.
  const Tensor source = x.stride(2) == 1 && x.stride(1) == x.size(2) ? x : x.contiguous();
  Tensor out = torch::empty(x.sizes(), x.options());
  if (x.size(0) == 0) return out;
  const float* table = table_for(position.max().item<int64_t>() + 1, frequency);
  const kernels::cpu::RopeShape shape{x.size(0),        x.size(1),
                                      x.size(2),        2 * static_cast<int64_t>(frequency.size()),
                                      source.stride(0), out.stride(0)};
  dispatch_type(x, [&](auto type) {
    using T = decltype(type);
    kernels::cpu::rotate(kernel_data<T>(source), position.data_ptr<int32_t>(), table, shape,
                         inverse, kernel_data<T>(out));
  });
  return out;
}

class Rotate : public torch::autograd::Function<Rotate> {
 public:
  static Tensor forward(AutogradContext* ctx, const Variable& x, const Tensor& position,
                        const Frequencies& frequency) {
    ctx->save_for_backward({position});
    ctx->saved_data["frequency"] = frequency;
    return with_kernel(x, position, frequency, false);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {with_kernel(grads[0], ctx->get_saved_variables()[0],
                        ctx->saved_data["frequency"].toDoubleVector(), true),
            {},
            {}};
  }
};

}  // namespace

Tensor rotate(const Tensor& x, const Tensor& position, const Frequencies& frequency) {
  const auto dims = 2 * static_cast<int64_t>(frequency.size());
  check(x.dim() == 3 && dims <= x.size(2), "[rotate] x must be [T, heads, at least ", dims,
        "] but has shape ", x.sizes());
  check(position.dim() == 1 && position.size(0) == x.size(0), "[rotate] positions must be [",
        x.size(0), "] but have shape ", position.sizes());
  // The table is float32: float64 runs, which are references, take the composite.
  if (!use_kernel(x) || x.scalar_type() == torch::kFloat64)
    return with_library(x, position, frequency);
  return Rotate::apply(x, position, frequency);
}

Tensor rotate(const Tensor& x, const Tensor& position, int64_t dims, double theta) {
  check(dims % 2 == 0, "[rotate] the rotated width must be even but is ", dims);
  return rotate(x, position, kernels::cpu::rope_frequencies(dims, theta));
}

}  // namespace pointwork
