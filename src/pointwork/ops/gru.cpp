#include "pointwork/ops/gru.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "pointwork/base/check.h"
#include "pointwork/kernels/gru.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/kernel_types.h"

namespace pointwork {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

template <class Body>
void by_type(const Tensor& x, const Body& body) {
  x.scalar_type() == torch::kFloat64 ? body(double{}) : body(float{});
}

template <class T>
T* data_or_null(const Tensor& x) {
  return x.defined() ? kernel_data<T>(x) : nullptr;
}

// All contiguous. kept undefined: no backward pass will come.
Tensor next_state(const Tensor& a, const Tensor& c, const Tensor& h, const Tensor& kept) {
  const int64_t rows = a.size(0), size = a.size(1) / 3;
  Tensor out = torch::empty({rows, size}, a.options());
  by_type(a, [&](auto type) {
    using T = decltype(type);
    kernels::cpu::gru_cell(kernel_data<T>(a), kernel_data<T>(c), data_or_null<T>(h),
                           kernel_data<T>(out), data_or_null<T>(kept), rows, size);
  });
  return out;
}

class GruCell : public torch::autograd::Function<GruCell> {
 public:
  static Tensor forward(AutogradContext* ctx, const Variable& a, const Variable& c,
                        const std::optional<Variable>& maybe_h) {
    const Tensor h = maybe_h.value_or(Tensor());
    const int64_t rows = a.size(0), size = a.size(1) / 3;
    const Tensor kept = torch::empty({rows, (h.defined() ? 4 : 3) * size}, a.options());
    Tensor out = next_state(a, c, h, kept);
    ctx->save_for_backward({kept, h.defined() ? Tensor() : c, h});
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &kept = saved[0], &c = saved[1], &h = saved[2];
    const Tensor d_out = grads[0].contiguous();
    const int64_t rows = d_out.size(0), size = d_out.size(1);
    const Tensor d_a = torch::empty({rows, 3 * size}, kept.options());
    const Tensor d_c = torch::empty_like(h.defined() ? d_a : c);
    const Tensor d_h = h.defined() && ctx->needs_input_grad(2) ? torch::empty_like(h) : Tensor();
    if (rows == 0) return {d_a, d_c.zero_(), d_h};  // no rows have no address, as no state has
    by_type(kept, [&](auto type) {
      using T = decltype(type);
      kernels::cpu::gru_cell_backward(kernel_data<T>(d_out), kernel_data<T>(kept),
                                      data_or_null<T>(c), data_or_null<T>(h), kernel_data<T>(d_a),
                                      kernel_data<T>(d_c), data_or_null<T>(d_h), rows, size);
    });
    return {d_a, d_c, d_h};
  }
};

Tensor composite(const Tensor& a, const Tensor& c, const Tensor& h) {
  const auto in = a.chunk(3, 1), state = c.chunk(3, -1);
  const Tensor reset = at::sigmoid(in[0] + state[0]), update = at::sigmoid(in[1] + state[1]);
  const Tensor fresh = at::tanh(in[2] + reset * state[2]);
  return fresh + update * (h.defined() ? h - fresh : -fresh);
}

}  // namespace

Tensor gru_cell(const Tensor& a, const Tensor& c, const Tensor& h) {
  check(a.dim() == 2 && a.size(1) % 3 == 0, "[gru_cell] a must be [T, 3r] but has shape ",
        a.sizes());
  const int64_t rows = a.size(0), size = a.size(1) / 3;
  if (h.defined()) {
    check(h.sizes() == at::IntArrayRef({rows, size}), "[gru_cell] h must be [", rows, ", ", size,
          "] but has shape ", h.sizes());
    check(c.sizes() == a.sizes(), "[gru_cell] c must be ", a.sizes(), " but has shape ", c.sizes());
  } else {
    check(c.sizes() == at::IntArrayRef({3 * size}), "[gru_cell] c must be [", 3 * size,
          "] where there is no h but has shape ", c.sizes());
  }
  check(c.scalar_type() == a.scalar_type() && (!h.defined() || h.scalar_type() == a.scalar_type()),
        "[gru_cell] a, c and h must be of one type but are ", a.scalar_type(), ", ",
        c.scalar_type(), " and ", h.defined() ? h.scalar_type() : a.scalar_type());
  const bool wide = a.scalar_type() == torch::kFloat32 || a.scalar_type() == torch::kFloat64;
  if (!use_kernel(a) || !wide) return composite(a, c, h);
  const Tensor own_a = a.contiguous(), own_c = c.contiguous(),
               own_h = h.defined() ? h.contiguous() : h;
  const bool differentiates =
      at::GradMode::is_enabled() &&
      (a.requires_grad() || c.requires_grad() || (h.defined() && h.requires_grad()));
  return differentiates ? GruCell::apply(own_a, own_c, std::optional(own_h))
                        : next_state(own_a, own_c, own_h, {});
}

}  // namespace pointwork
