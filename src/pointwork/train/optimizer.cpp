#include "pointwork/train/optimizer.h"

#include <ATen/ATen.h>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

constexpr double kAverageRate = 0.05;
// The moving average of the gradient norm means little before this many accepted steps.
constexpr double kFirstJudged = 20;
// A spike on this many batches in a row is no batch's fault: the weights stand where the loss is
// steep, and the clipped step is the way out.
constexpr double kSpikesInRow = 3;

Tensor scalar(double value, const torch::Device& device) {
  return torch::full({}, value, torch::TensorOptions().dtype(torch::kFloat32).device(device));
}

}  // namespace

Optimizer::Optimizer(Model& model, const OptimizerConfig& config, const GuardConfig& guard)
    : config_(config), guard_(guard), groups_(4) {
  const torch::NoGradGuard no_grad;
  const bool all = config_.trains == Trains::all;
  const std::set<std::string> routers = router_parameters(model);
  check(all || !routers.empty(),
        "optimizer.trains is \"routers\", but the model has none, so nothing would learn");
  for (auto& item : model.named_parameters()) {
    Tensor& weight = item.value();
    const bool learns = all || routers.count(item.key()) > 0;
    weight.set_requires_grad(learns);
    if (!learns) continue;
    const bool predictor = is_predictor(item.key());
    const bool decays = is_matrix(item.key(), weight);
    Group& group = groups_[(predictor ? 2 : 0) + (decays ? 0 : 1)];
    group.predictor = predictor;
    group.weight_decay = decays ? config_.weight_decay : 0;
    group.names.push_back(item.key());
    group.weights.push_back(weight);
    const bool wide = weight.scalar_type() != torch::kBFloat16;
    group.masters.push_back(wide ? weight.detach() : weight.detach().to(torch::kFloat32));
    group.gradients.emplace_back();
    group.first.push_back(torch::zeros_like(group.masters.back()));
    group.second.push_back(torch::zeros_like(group.masters.back()));
    group.updates.push_back(scalar(0, model.device()));
  }
  accepted_ = scalar(0, model.device());
  average_norm_ = scalar(0, model.device());
  in_row_ = scalar(0, model.device());
}

void Optimizer::accumulate() {
  const torch::NoGradGuard no_grad;
  for (Group& group : groups_) {
    for (size_t i = 0; i < group.weights.size(); ++i) {
      Tensor& gradient = group.weights[i].mutable_grad();
      if (!gradient.defined()) continue;
      const Tensor wide = gradient.to(group.masters[i].scalar_type());
      Tensor& sum = group.gradients[i];
      if (sum.defined()) {
        sum.add_(wide);
      } else {
        sum = wide;
      }
      gradient.reset();
    }
  }
}

Tensor Optimizer::norm_of(bool predictor) const {
  std::vector<Tensor> gradients;
  for (const Group& group : groups_) {
    if (group.predictor != predictor) continue;
    for (const Tensor& gradient : group.gradients) {
      if (gradient.defined()) gradients.push_back(gradient);
    }
  }
  if (gradients.empty()) return torch::zeros_like(accepted_);
  std::vector<Tensor> norms = at::_foreach_norm(gradients, 2);
  for (Tensor& norm : norms) norm = norm.to(torch::kFloat32);
  return torch::stack(norms).norm();
}

UpdateResult Optimizer::step(double learning_rate, const Tensor& loss) {
  const torch::NoGradGuard no_grad;
  UpdateResult result{norm_of(false), norm_of(true), {}, {}};
  Tensor good = result.grad_norm.isfinite()
                    .logical_and(result.predictor_grad_norm.isfinite())
                    .logical_and(loss.detach().isfinite());
  Tensor norm = result.grad_norm;
  if (guard_.spike_factor > 0) {
    const Tensor judged = accepted_.ge(kFirstJudged);
    const Tensor most = guard_.spike_factor * average_norm_;
    const Tensor spike = norm.gt(most).logical_and(judged);
    good = good.logical_and(spike.logical_and(in_row_.lt(kSpikesInRow)).logical_not());
    norm = torch::where(spike, most, norm);  // one let through counts as the largest that is none
  }
  const Tensor bad = good.logical_not().to(torch::kFloat32);
  const Tensor rate = torch::where(accepted_.eq(0), torch::ones_like(accepted_),
                                   torch::full_like(accepted_, kAverageRate));
  const Tensor moved = average_norm_ + rate * (norm - average_norm_);
  average_norm_.copy_(torch::where(good, moved, average_norm_));
  in_row_.copy_(torch::where(good, torch::zeros_like(in_row_), in_row_ + 1));
  const Tensor counted = 1 - bad;
  accepted_.add_(counted);

  const auto clip = [&](const Tensor& norm) -> c10::optional<Tensor> {
    if (config_.gradient_clip <= 0) return c10::nullopt;
    return (norm / config_.gradient_clip).clamp_min(1).nan_to_num(1);
  };
  for (Group& group : groups_) {
    std::vector<Tensor> masters, gradients, first, second, updates;
    for (size_t i = 0; i < group.masters.size(); ++i) {
      if (!group.gradients[i].defined()) continue;
      masters.push_back(group.masters[i]);
      gradients.push_back(group.gradients[i]);
      first.push_back(group.first[i]);
      second.push_back(group.second[i]);
      updates.push_back(group.updates[i]);
    }
    if (masters.empty()) continue;
    at::_foreach_add_(updates, counted);
    at::_fused_adamw_(masters, gradients, first, second, {}, updates, learning_rate, config_.beta1,
                      config_.beta2, group.weight_decay, config_.eps, /*amsgrad=*/false,
                      /*maximize=*/false,
                      clip(group.predictor ? result.predictor_grad_norm : result.grad_norm), bad);
    for (size_t i = 0; i < group.masters.size(); ++i) {
      if (group.gradients[i].defined() && !group.masters[i].is_same(group.weights[i]) &&
          group.weights[i].scalar_type() == torch::kBFloat16) {
        group.weights[i].copy_(group.masters[i]);
      }
      group.gradients[i].reset();
    }
  }
  result.skipped = bad;
  result.skipped_in_row = in_row_.clone();
  return result;
}

std::map<std::string, Tensor> Optimizer::state() const {
  std::map<std::string, Tensor> all{
      {"accepted", accepted_}, {"average_norm", average_norm_}, {"skipped_in_row", in_row_}};
  for (const Group& group : groups_) {
    for (size_t i = 0; i < group.names.size(); ++i) {
      all["first." + group.names[i]] = group.first[i];
      all["second." + group.names[i]] = group.second[i];
      all["updates." + group.names[i]] = group.updates[i];
      if (group.weights[i].scalar_type() == torch::kBFloat16)
        all["master." + group.names[i]] = group.masters[i];
    }
  }
  return all;
}

void Optimizer::restore(const std::map<std::string, Tensor>& state) {
  const torch::NoGradGuard no_grad;
  const auto own = this->state();
  for (const auto& [name, tensor] : own) {
    const auto found = state.find(name);
    check(found != state.end(), "the optimizer state lacks '", name, "'");
    check(found->second.sizes() == tensor.sizes(), "the optimizer state's '", name,
          "' must have shape ", tensor.sizes(), " but has ", found->second.sizes());
  }
  for (const auto& [name, tensor] : state) {
    check(own.count(name) > 0, "the optimizer state has '", name,
          "', which this model has no place for");
  }
  for (const auto& [name, tensor] : own) tensor.copy_(state.at(name));
}

}  // namespace pointwork
