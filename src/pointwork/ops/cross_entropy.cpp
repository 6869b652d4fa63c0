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
  Tensor logits;   // [n, V], overwritten by its gradient where one is wanted
  Tensor teacher;  // [n, V], or undefined
  Tensor target;   // int32 [n]
  Tensor factor;   // float64 [], 1 / targets that count
  double z_loss;
  bool gradient;
};

struct Sums {
  Tensor nll, z, soft;  // float64 []; soft is undefined without a teacher
};

// −Σ q · log p_τ of each row; its gradient, times τ² and the weight, joins `grad`.
Tensor soft_with_library(const Chunk& chunk, const TaughtBy& by, const Tensor& logits,
                         const Tensor& scale, Tensor& grad) {
  const Tensor log_p = (logits / by.temperature).log_softmax(1);
  const Tensor q = (chunk.teacher.to(logits.scalar_type()) / by.temperature).softmax(1);
  if (grad.defined()) {
    const Tensor pull = (scale * (by.soft_weight * by.temperature)).unsqueeze(1);
    grad.add_((log_p.exp() - q).mul_(pull));
  }
  // What the teacher excludes adds nothing, be our logit −∞ there.
  return -(q * log_p.masked_fill(q.eq(0), 0)).sum(1);
}

Sums with_library(const Chunk& chunk, const TaughtBy* by) {
  const auto accumulate =
      chunk.logits.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const Tensor logits = chunk.logits.to(accumulate);
  const Tensor counts = chunk.target.ge(0), ignored = counts.logical_not();
  const Tensor index = chunk.target.clamp_min(0).to(torch::kInt64).unsqueeze(1);
  const Tensor lse = logits.logsumexp(1);
  const Tensor nll = (lse - logits.gather(1, index).squeeze(1)).masked_fill(ignored, 0);
  const Tensor square = lse.square().masked_fill(ignored, 0);
  const Tensor scale = counts.to(accumulate) * chunk.factor;
  const double hard = by ? by->hard_weight : 1;
  Tensor grad, soft;
  if (chunk.gradient) {
    grad = (logits - lse.unsqueeze(1)).exp_();
    grad.mul_((scale * (hard + 2 * chunk.z_loss * lse)).unsqueeze(1));
    grad.scatter_add_(1, index, -(hard * scale).unsqueeze(1).to(accumulate));
  }
  if (by) soft = soft_with_library(chunk, *by, logits, scale, grad).masked_fill(ignored, 0);
  if (chunk.gradient) chunk.logits.copy_(grad);
  return {nll.sum(torch::kFloat64), square.sum(torch::kFloat64),
          by ? soft.sum(torch::kFloat64) : Tensor()};
}

Sums with_kernel(const Chunk& chunk, const TaughtBy* by) {
  const int64_t n = chunk.logits.size(0), vocab = chunk.logits.size(1);
  const int64_t stride = chunk.logits.stride(0);
  Tensor loss = torch::empty({n}, torch::kFloat32), lse = torch::empty({n}, torch::kFloat32);
  Tensor soft = by ? torch::empty({n}, torch::kFloat32) : Tensor();
  const int32_t* target = chunk.target.data_ptr<int32_t>();
  dispatch_type(chunk.logits, [&](auto type) {
    using T = decltype(type);
    T* logits = kernel_data<T>(chunk.logits);
    T* grad = chunk.gradient ? logits : nullptr;
    if (by) {
      const kernels::cpu::TaughtWeights weights{.scale = chunk.factor.item<double>(),
                                                .hard = by->hard_weight,
                                                .soft = by->soft_weight,
                                                .temperature = by->temperature,
                                                .z = chunk.z_loss};
      kernels::cpu::taught_cross_entropy_rows(logits, kernel_data<T>(chunk.teacher), stride, n,
                                              vocab, target, weights, grad, loss.data_ptr<float>(),
                                              soft.data_ptr<float>(), lse.data_ptr<float>());
    } else {
      kernels::cpu::cross_entropy_rows(logits, stride, n, vocab, target, chunk.factor.item<float>(),
                                       static_cast<float>(chunk.z_loss), grad,
                                       loss.data_ptr<float>(), lse.data_ptr<float>(), nullptr);
    }
  });
  const Tensor counts = chunk.target.ge(0);
  return {loss.sum(torch::kFloat64),
          lse.square().masked_fill(counts.logical_not(), 0).sum(torch::kFloat64),
          by ? soft.sum(torch::kFloat64) : Tensor()};
}

// What is no parameter of the loss.
struct Job {
  Tensor target;
  CrossEntropyOptions options;
  const TaughtBy* teacher;
  bool gradient;
};

// Each logit is computed once: the gradient of its row is taken while it is there, for a unit
// gradient of the loss.
class HeadLoss : public torch::autograd::Function<HeadLoss> {
 public:
  static variable_list forward(AutogradContext* ctx, const Variable& hidden, const Variable& head,
                               const Job& job) {
    const int64_t rows = hidden.size(0), vocab = head.size(0);
    const TaughtBy* by = job.teacher;
    const int64_t row_bytes = vocab * hidden.element_size() * (by ? 2 : 1);
    const int64_t chunk_rows =
        std::clamp<int64_t>(job.options.chunk_bytes / row_bytes, std::min<int64_t>(rows, 16), rows);
    const Tensor count = job.target.ge(0).sum();
    const Tensor factor = count.clamp_min(1).to(torch::kFloat64).reciprocal();
    const bool kernel = use_kernel(hidden) && hidden.scalar_type() != torch::kFloat64;
    const bool wide = hidden.scalar_type() == torch::kBFloat16;
    const double z_loss = job.options.z_loss;

    Tensor buffer = torch::empty({std::min(chunk_rows, rows), vocab}, hidden.options());
    Tensor taught = by ? torch::empty_like(buffer) : Tensor();
    Tensor d_hidden, d_head;
    if (job.gradient) {
      d_hidden = torch::empty_like(hidden);
      d_head = torch::empty(head.sizes(),
                            head.options().dtype(wide ? torch::kFloat32 : head.scalar_type()));
      if (rows == 0) d_head.zero_();
    }
    Tensor nll = torch::zeros({}, hidden.options().dtype(torch::kFloat64));
    Tensor z = torch::zeros_like(nll), soft = torch::zeros_like(nll);
    for (int64_t first = 0; first < rows; first += chunk_rows) {
      const int64_t last = std::min(rows, first + chunk_rows);
      const Tensor part = hidden.slice(0, first, last);
      Chunk chunk{.logits = buffer.slice(0, 0, last - first),
                  .teacher = {},
                  .target = job.target.slice(0, first, last),
                  .factor = factor,
                  .z_loss = z_loss,
                  .gradient = job.gradient};
      at::mm_out(chunk.logits, part, head.t());
      if (by) {
        chunk.teacher = taught.slice(0, 0, last - first);
        at::mm_out(chunk.teacher, by->hidden.slice(0, first, last), by->head.t());
      }
      const Sums sums = kernel ? with_kernel(chunk, by) : with_library(chunk, by);
      nll += sums.nll;
      z += sums.z;
      if (by) soft += sums.soft;
      if (!job.gradient) continue;
      Tensor slice = d_hidden.slice(0, first, last);
      at::mm_out(slice, chunk.logits, head);
      if (wide) {
        const Tensor partial = at::mm(chunk.logits.t(), part);
        first == 0 ? d_head.copy_(partial) : d_head.add_(partial);
      } else if (first == 0) {
        at::mm_out(d_head, chunk.logits.t(), part);
      } else {
        at::addmm_out(d_head, d_head, chunk.logits.t(), part);
      }
    }
    if (job.gradient) ctx->save_for_backward({d_hidden, d_head.to(head.scalar_type())});
    const auto dtype = wide ? torch::kFloat32 : hidden.scalar_type();
    const Tensor language = ((nll + z_loss * z) * factor).to(dtype);
    Tensor loss = language.clone();
    if (by) {
      const double strength = by->soft_weight * by->temperature * by->temperature;
      loss = ((by->hard_weight * nll + z_loss * z + strength * soft) * factor).to(dtype);
    }
    ctx->mark_non_differentiable({language, nll, count, soft});
    return {loss, language, nll, count, soft};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor& upstream = grads[0];
    // The common case, a unit gradient, saves a pass over the head's gradient; elsewhere reading it
    // would wait for the device.
    if (upstream.is_cpu() && upstream.item<double>() == 1) return {saved[0], saved[1], {}};
    return {saved[0] * upstream, saved[1] * upstream, {}};
  }
};

void check_teacher(const TaughtBy& by, const Tensor& hidden, const Tensor& head) {
  check(by.hidden.dim() == 2 && by.head.dim() == 2 && by.hidden.size(1) == by.head.size(1),
        "[cross_entropy] the teacher's hidden must be [T, ", by.head.size(-1), "] but has shape ",
        by.hidden.sizes());
  check(by.hidden.size(0) == hidden.size(0), "[cross_entropy] the teacher's hidden must have ",
        hidden.size(0), " rows but has ", by.hidden.size(0));
  check(by.head.size(0) == head.size(0), "[cross_entropy] the teacher's head must be of ",
        head.size(0), " tokens but is of ", by.head.size(0));
  check(by.hidden.scalar_type() == hidden.scalar_type(), "[cross_entropy] the teacher must be in ",
        hidden.scalar_type(), " but is in ", by.hidden.scalar_type());
  check(by.temperature > 0, "[cross_entropy] temperature must be above 0 but is ", by.temperature);
}

}  // namespace

CrossEntropyResult cross_entropy(const Tensor& hidden, const Tensor& head, const Tensor& target,
                                 CrossEntropyOptions options, const TaughtBy* teacher) {
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
  if (teacher) check_teacher(*teacher, hidden, head);
  const bool gradient =
      torch::GradMode::is_enabled() && (hidden.requires_grad() || head.requires_grad());
  const auto out =
      HeadLoss::apply(hidden.contiguous(), head, Job{target, options, teacher, gradient});
  return {out[0], out[1], out[2], out[3], teacher ? out[4] : Tensor()};
}

}  // namespace pointwork
