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

Tensor with_library(const Tensor& x, const Tensor& position, int64_t dims, double theta,
                    double sign) {
  const int64_t half = dims / 2;
  const auto doubles = torch::TensorOptions().dtype(torch::kFloat64).device(x.device());
  const Tensor frequency =
      torch::pow(theta, torch::arange(half, doubles) * (-2.0 / static_cast<double>(dims)));
  const Tensor angle = (position.to(torch::kFloat64).unsqueeze(1) * frequency * sign).unsqueeze(1);
  const auto wide = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const Tensor c = angle.cos().to(wide), s = angle.sin().to(wide);
  const Tensor a = x.slice(2, 0, half).to(wide), b = x.slice(2, half, dims).to(wide);
  return torch::cat(
      {(a * c - b * s).to(x.scalar_type()), (b * c + a * s).to(x.scalar_type()), x.slice(2, dims)},
      2);
}

// Tables of cosines and sines, kept for as long as the program runs: a model needs one, and it only
// grows.
const float* table_for(int64_t positions, int64_t dims, double theta) {
  struct Table {
    int64_t positions = 0;
    std::vector<float> values;
  };
  static std::mutex mutex;
  static std::map<std::pair<int64_t, double>, std::deque<Table>> tables;
  const std::lock_guard lock(mutex);
  std::deque<Table>& of = tables[{dims, theta}];
  if (of.empty() || of.back().positions < positions) {
    const auto size = static_cast<int64_t>(
        std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(positions, 256))));
    // Older, smaller tables stay: another thread may be reading one.
    of.push_back({size, kernels::cpu::rope_table(size, dims, theta)});
  }
  return of.back().values.data();
}

Tensor with_kernel(const Tensor& x, const Tensor& position, int64_t dims, double theta,
                   bool inverse) {
  // A slice of a packed projection has whole heads in a row: only its rows are strided.
  const Tensor source = x.stride(2) == 1 && x.stride(1) == x.size(2) ? x : x.contiguous();
  Tensor out = torch::empty(x.sizes(), x.options());
  if (x.size(0) == 0) return out;
  const float* table = table_for(position.max().item<int64_t>() + 1, dims, theta);
  const kernels::cpu::RopeShape shape{x.size(0), x.size(1),        x.size(2),
                                      dims,      source.stride(0), out.stride(0)};
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
                        int64_t dims, double theta) {
    ctx->save_for_backward({position});
    ctx->saved_data["dims"] = dims;
    ctx->saved_data["theta"] = theta;
    return with_kernel(x, position, dims, theta, false);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {with_kernel(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["dims"].toInt(),
                        ctx->saved_data["theta"].toDouble(), true),
            {},
            {},
            {}};
  }
};

}  // namespace

Tensor rotate(const Tensor& x, const Tensor& position, int64_t dims, double theta) {
  check(dims % 2 == 0, "[rotate] the rotated width must be even but is ", dims);
  check(x.dim() == 3 && dims <= x.size(2), "[rotate] x must be [T, heads, at least ", dims,
        "] but has shape ", x.sizes());
  check(position.dim() == 1 && position.size(0) == x.size(0), "[rotate] positions must be [",
        x.size(0), "] but have shape ", position.sizes());
  // The table is float32: float64 runs, which are references, take the composite.
  if (!use_kernel(x) || x.scalar_type() == torch::kFloat64)
    return with_library(x, position, dims, theta, 1);
  return Rotate::apply(x, position, dims, theta);
}

}  // namespace pointwork
