#include "pointwork/ops/rows.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "pointwork/base/check.h"
#include "pointwork/kernels/rows.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/kernel_types.h"

namespace pointwork {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

const float* float_or_null(const Tensor& weight) {
  return weight.defined() ? weight.data_ptr<float>() : nullptr;
}

// slots[n] = w[n] · x[token[n]]
Tensor gather(const Tensor& x, const Tensor& token, const Tensor& weight) {
  const int64_t slots = token.size(0), width = x.size(1);
  Tensor out = torch::empty({slots, width}, x.options());
  if (use_kernel(x) && (!weight.defined() || weight.scalar_type() == torch::kFloat32)) {
    dispatch_type(x, [&](auto type) {
      using T = decltype(type);
      kernels::cpu::gather_rows(kernel_data<T>(x), token.data_ptr<int32_t>(), float_or_null(weight),
                                kernel_data<T>(out), slots, width);
    });
    return out;
  }
  const Tensor empty = token.lt(0).unsqueeze(1);
  Tensor rows = x.index_select(0, token.clamp_min(0).to(torch::kInt64)).masked_fill(empty, 0);
  return weight.defined() ? (rows * weight.unsqueeze(1)).to(x.scalar_type()) : rows;
}

// base[t] + Σ_s w[s] · y[s]
Tensor scatter(const Tensor& base, const Tensor& y, const Tensor& weight, const RowIndex& index) {
  const int64_t rows = index.row_offset.size(0) - 1, width = y.size(1);
  if (use_kernel(y) && (!weight.defined() || weight.scalar_type() == torch::kFloat32)) {
    Tensor out = torch::empty({rows, width}, y.options());
    dispatch_type(y, [&](auto type) {
      using T = decltype(type);
      kernels::cpu::scatter_rows(base.defined() ? kernel_data<T>(base) : nullptr, kernel_data<T>(y),
                                 float_or_null(weight), index.row_offset.data_ptr<int32_t>(),
                                 index.row_slot.data_ptr<int32_t>(), kernel_data<T>(out), rows,
                                 width);
    });
    return out;
  }
  const Tensor filled = index.token.ge(0).nonzero().squeeze(1);
  const auto sum_type = y.scalar_type() == torch::kBFloat16 ? torch::kFloat32 : y.scalar_type();
  Tensor values = y.index_select(0, filled).to(sum_type);
  if (weight.defined()) values = values * weight.index_select(0, filled).unsqueeze(1);
  Tensor out = base.defined() ? base.to(sum_type, false, true)
                              : torch::zeros({rows, width}, y.options().dtype(sum_type));
  out = out.index_add(0, index.token.index_select(0, filled).to(torch::kInt64), values);
  return out.to(y.scalar_type());
}

class Dispatch : public torch::autograd::Function<Dispatch> {
 public:
  static Tensor forward(AutogradContext* ctx, const Variable& x, const Tensor& token,
                        const Tensor& offset, const Tensor& slot) {
    ctx->save_for_backward({token, offset, slot});
    return gather(x, token, {});
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {scatter({}, grads[0].contiguous(), {}, {saved[0], saved[1], saved[2]}), {}, {}, {}};
  }
};

// What may be undefined must be an optional to autograd.
class Combine : public torch::autograd::Function<Combine> {
 public:
  static Tensor forward(AutogradContext* ctx, const std::optional<Variable>& maybe_base,
                        const Variable& y, const std::optional<Variable>& maybe_weight,
                        const Tensor& token, const Tensor& offset, const Tensor& slot) {
    const Tensor base = maybe_base.value_or(Tensor()), weight = maybe_weight.value_or(Tensor());
    const bool weighs = weight.defined() && weight.requires_grad();
    ctx->save_for_backward({weighs ? y : Tensor(), weight, token});
    ctx->saved_data["base"] = base.defined();
    return scatter(base, y, weight, {token, offset, slot});
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &y = saved[0], &weight = saved[1], &token = saved[2];
    const Tensor d_out = grads[0].contiguous();
    const Tensor d_base = ctx->saved_data["base"].toBool() ? d_out : Tensor();
    if (!y.defined()) return {d_base, gather(d_out, token, weight), {}, {}, {}, {}};
    if (use_kernel(y) && weight.scalar_type() == torch::kFloat32) {
      Tensor d_y = torch::empty_like(y), d_weight = torch::empty_like(weight);
      dispatch_type(y, [&](auto type) {
        using T = decltype(type);
        kernels::cpu::gather_dot_rows(kernel_data<T>(d_out), kernel_data<T>(y),
                                      token.data_ptr<int32_t>(), weight.data_ptr<float>(),
                                      kernel_data<T>(d_y), d_weight.data_ptr<float>(), y.size(0),
                                      y.size(1));
      });
      return {d_base, d_y, d_weight, {}, {}, {}};
    }
    const Tensor gathered = gather(d_out, token, {});
    const Tensor d_weight = (gathered.to(weight.scalar_type()) * y.to(weight.scalar_type())).sum(1);
    return {d_base, (gathered * weight.unsqueeze(1)).to(y.scalar_type()), d_weight, {}, {}, {}};
  }
};

// A lookup is a dispatch by ids; its gradient is the combine over the slots of each id.
class Embed : public torch::autograd::Function<Embed> {
 public:
  static Tensor forward(AutogradContext* ctx, const Variable& weight, const Tensor& id) {
    ctx->save_for_backward({id});
    ctx->saved_data["rows"] = weight.size(0);
    return gather(weight, id, {});
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Tensor id = ctx->get_saved_variables()[0];
    const auto [offset, slot] = index_slots(id, ctx->saved_data["rows"].toInt());
    return {scatter({}, grads[0].contiguous(), {}, {id, offset, slot}), {}};
  }
};

}  // namespace

std::pair<Tensor, Tensor> index_slots(const Tensor& token, int64_t rows) {
  const auto ints = token.options().dtype(torch::kInt32);
  if (use_kernel(token)) {
    Tensor offset = torch::empty({rows + 1}, ints), slot = torch::empty({token.size(0)}, ints);
    const int64_t filled =
        kernels::cpu::index_slots(token.data_ptr<int32_t>(), token.size(0), rows,
                                  offset.data_ptr<int32_t>(), slot.data_ptr<int32_t>());
    return {offset, slot.slice(0, 0, filled)};
  }
  // Empty slots count as row `rows`, beyond the last, and so stand at the end: no shape depends on
  // a value.
  const Tensor row = token.masked_fill(token.lt(0), static_cast<int32_t>(rows)).to(torch::kInt64);
  const Tensor slot = std::get<1>(row.sort(/*stable=*/true, 0, false)).to(torch::kInt32);
  Tensor offset = torch::zeros({rows + 1}, ints);
  const Tensor ones = torch::ones_like(row);
  offset.slice(0, 1).copy_(
      torch::zeros({rows + 1}, ones.options()).index_add(0, row, ones).slice(0, 0, rows).cumsum(0));
  return {offset, slot};
}

Tensor dispatch(const Tensor& x, const RowIndex& index) {
  check(x.dim() == 2 && x.size(0) + 1 == index.row_offset.size(0), "[dispatch] x must be [",
        index.row_offset.size(0) - 1, ", D] but has shape ", x.sizes());
  return Dispatch::apply(x.contiguous(), index.token, index.row_offset, index.row_slot);
}

Tensor combine(const Tensor& base, const Tensor& y, const Tensor& weight, const RowIndex& index) {
  check(y.dim() == 2 && y.size(0) == index.token.size(0), "[combine] y must be [",
        index.token.size(0), ", D] but has shape ", y.sizes());
  const int64_t rows = index.row_offset.size(0) - 1;
  if (base.defined()) {
    check(base.sizes() == at::IntArrayRef({rows, y.size(1)}), "[combine] base must be [", rows,
          ", ", y.size(1), "] but has shape ", base.sizes());
    check(base.scalar_type() == y.scalar_type(), "[combine] base must be ", y.scalar_type(),
          " as y is but is ", base.scalar_type());
  }
  check(!weight.defined() || weight.sizes() == index.token.sizes(), "[combine] weight must be ",
        index.token.sizes(), " but has shape ", weight.defined() ? weight.sizes() : y.sizes());
  const auto contiguous = [](const Tensor& x) {
    return std::optional(x.defined() ? x.contiguous() : x);
  };
  return Combine::apply(contiguous(base), y.contiguous(), contiguous(weight), index.token,
                        index.row_offset, index.row_slot);
}

Tensor embed(const Tensor& weight, const Tensor& id) {
  check(id.dim() == 1, "[embed] ids must be [T] but have shape ", id.sizes());
  // Elsewhere than on the CPU reading the largest would wait for the device.
  if (id.is_cpu() && id.numel() > 0) {
    const auto most = id.max().item<int64_t>();
    check(most < weight.size(0), "[embed] ids must be below ", weight.size(0), " but one is ",
          most);
  }
  return Embed::apply(weight, id);
}

}  // namespace pointwork
