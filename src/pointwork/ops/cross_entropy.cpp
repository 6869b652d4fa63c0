#include "pointwork/ops/cross_entropy.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/kernels/cross_entropy.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/kernel_types.h"

namespace pointwork {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct Chunk {
  Tensor logits;  // [n, V], overwritten by its gradient where one is wanted
  Tensor target;  // int32 [n]
  Tensor factor;  // float64 [], 1 / targets that count
  double z_loss;
  bool gradient;
};

struct Sums {
  Tensor nll, z;  // float64 []
};

Sums with_library(const Chunk& chunk) {
  const auto accumulate =
      chunk.logits.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const Tensor logits = chunk.logits.to(accumulate);
  const Tensor counts = chunk.target.ge(0);
  const Tensor index = chunk.target.clamp_min(0).to(torch::kInt64).unsqueeze(1);
  const Tensor lse = logits.logsumexp(1);
  const Tensor nll =
      (lse - logits.gather(1, index).squeeze(1)).masked_fill(counts.logical_not(), 0);
  const Tensor square = lse.square().masked_fill(counts.logical_not(), 0);
  if (chunk.gradient) {
    const Tensor scale = counts.to(accumulate) * chunk.factor;
    Tensor softmax = (logits - lse.unsqueeze(1)).exp_();
    softmax.mul_((scale * (1 + 2 * chunk.z_loss * lse)).unsqueeze(1));
    softmax.scatter_add_(1, index, -scale.unsqueeze(1).to(accumulate));
    chunk.logits.copy_(softmax);
  }
  return {nll.sum(torch::kFloat64), square.sum(torch::kFloat64)};
}

Sums with_kernel(const Chunk& chunk) {
  const int64_t n = chunk.logits.size(0), vocab = chunk.logits.size(1);
  Tensor loss = torch::empty({n}, torch::kFloat32), lse = torch::empty({n}, torch::kFloat32);
  dispatch_type(chunk.logits, [&](auto type) {
    using T = decltype(type);
    T* logits = kernel_data<T>(chunk.logits);
    kernels::cpu::cross_entropy_rows(
        logits, chunk.logits.stride(0), n, vocab, chunk.target.data_ptr<int32_t>(),
        chunk.factor.item<float>(), static_cast<float>(chunk.z_loss),
        chunk.gradient ? logits : nullptr, loss.data_ptr<float>(), lse.data_ptr<float>(), nullptr);
  });
  const Tensor counts = chunk.target.ge(0);
  return {loss.sum(torch::kFloat64),
          lse.square().masked_fill(counts.logical_not(), 0).sum(torch::kFloat64)};
}

// Each logit is computed once: the gradient of its row is taken while it is there, for a unit
// gradient of the loss.
class HeadLoss : public torch::autograd::Function<HeadLoss> {
 public:
  static variable_list forward(AutogradContext* ctx, const Variable& hidden, const Variable& head,
                               const Tensor& target, double z_loss, int64_t chunk_bytes,
                               bool gradient) {
    const int64_t rows = hidden.size(0), vocab = head.size(0);
    const int64_t row_bytes = vocab * hidden.element_size();
    const int64_t chunk_rows =
        std::clamp<int64_t>(chunk_bytes / row_bytes, std::min<int64_t>(rows, 16), rows);
    const Tensor count = target.ge(0).sum();
    const Tensor factor = count.clamp_min(1).to(torch::kFloat64).reciprocal();
    const bool kernel = use_kernel(hidden) && hidden.scalar_type() != torch::kFloat64;
    const bool wide = hidden.scalar_type() == torch::kBFloat16;

    Tensor buffer = torch::empty({std::min(chunk_rows, rows), vocab}, hidden.options());
    Tensor d_hidden, d_head;
    if (gradient) {
      d_hidden = torch::empty_like(hidden);
      d_head = torch::empty(head.sizes(),
                            head.options().dtype(wide ? torch::kFloat32 : head.scalar_type()));
      if (rows == 0) d_head.zero_();
    }
    Tensor nll = torch::zeros({}, hidden.options().dtype(torch::kFloat64));
    Tensor z = torch::zeros_like(nll);
    for (int64_t first = 0; first < rows; first += chunk_rows) {
      const int64_t last = std::min(rows, first + chunk_rows);
      const Tensor part = hidden.slice(0, first, last);
      Tensor logits = buffer.slice(0, 0, last - first);
      at::mm_out(logits, part, head.t());
      const Chunk chunk{logits, target.slice(0, first, last), factor, z_loss, gradient};
      const Sums sums = kernel ? with_kernel(chunk) : with_library(chunk);
      nll += sums.nll;
      z += sums.z;
      if (!gradient) continue;
      Tensor slice = d_hidden.slice(0, first, last);
      at::mm_out(slice, logits, head);
      if (wide) {
        const Tensor partial = at::mm(logits.t(), part);
        first == 0 ? d_head.copy_(partial) : d_head.add_(partial);
      } else if (first == 0) {
        at::mm_out(d_head, logits.t(), part);
      } else {
        at::addmm_out(d_head, d_head, logits.t(), part);
      }
    }
    if (gradient) ctx->save_for_backward({d_hidden, d_head.to(head.scalar_type())});
    const Tensor loss =
        ((nll + z_loss * z) * factor).to(wide ? torch::kFloat32 : hidden.scalar_type());
    ctx->mark_non_differentiable({nll, count});
    return {loss, nll, count};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor& upstream = grads[0];
    // The common case, a unit gradient, saves a pass over the head's gradient; elsewhere reading it
    // would wait for the device.
    if (upstream.is_cpu() && upstream.item<double>() == 1)
      return {saved[0], saved[1], {}, {}, {}, {}};
    return {saved[0] * upstream, saved[1] * upstream, {}, {}, {}, {}};
  }
};

}  // namespace

CrossEntropyResult cross_entropy(const Tensor& hidden, const Tensor& head, const Tensor& target,
                                 CrossEntropyOptions options) {
  check(hidden.dim() == 2 && hidden.size(1) == head.size(1), "[cross_entropy] hidden must be [T, ",
        head.size(1), "] but has shape ", hidden.sizes());
  check(target.dim() == 1 && target.size(0) == hidden.size(0), "[cross_entropy] target must be [",
        hidden.size(0), "] but has shape ", target.sizes());
  // Elsewhere than on the CPU reading the largest would wait for the device.
  if (target.is_cpu() && target.numel() > 0) {
    const auto most = target.max().item<int64_t>();
    check(most < head.size(0), "[cross_entropy] targets must be below ", head.size(0),
          " but one is ", most);
  }
  const bool gradient =
      torch::GradMode::is_enabled() && (hidden.requires_grad() || head.requires_grad());
  const auto out = HeadLoss::apply(hidden.contiguous(), head, target, options.z_loss,
                                   options.chunk_bytes, gradient);
  return {out[0], out[1], out[2]};
}

}  // namespace pointwork
