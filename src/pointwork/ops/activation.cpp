#include "pointwork/ops/activation.h"

#include <torch/csrc/autograd/custom_function.h>

#include "pointwork/base/check.h"
#include "pointwork/kernels/activation.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/kernel_types.h"

namespace pointwork {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

class Swiglu : public torch::autograd::Function<Swiglu> {
 public:
  static Tensor forward(AutogradContext* ctx, const Variable& x) {
    ctx->save_for_backward({x});
    const int64_t rows = x.size(0), width = x.size(1) / 2;
    Tensor out = torch::empty({rows, width}, x.options());
    dispatch_type(x, [&](auto type) {
      using T = decltype(type);
      const T* gate = kernel_data<T>(x);
      kernels::cpu::swiglu(gate, gate + width, 2 * width, kernel_data<T>(out), rows, width);
    });
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Tensor x = ctx->get_saved_variables()[0];
    const Tensor d_out = grads[0].contiguous();
    const int64_t width = x.size(1) / 2;
    Tensor dx = torch::empty_like(x);
    dispatch_type(x, [&](auto type) {
      using T = decltype(type);
      const T* gate = kernel_data<T>(x);
      T* d_gate = kernel_data<T>(dx);
      kernels::cpu::swiglu_backward(kernel_data<T>(d_out), gate, gate + width, 2 * width, d_gate,
                                    d_gate + width, 2 * width, x.size(0), width);
    });
    return {dx};
  }
};

}  // namespace

Tensor activate(const Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::relu:
      return at::relu(x);
    case Activation::swiglu: {
      check(x.dim() == 2 && x.size(1) % 2 == 0,
            "[activate] x must be [T, 2F] with swiglu but has shape ", x.sizes());
      if (use_kernel(x)) return Swiglu::apply(x.contiguous());
      const auto halves = x.chunk(2, 1);
      return at::silu(halves[0]) * halves[1];
    }
  }
  fail("[activate] unknown activation");
}

}  // namespace pointwork
