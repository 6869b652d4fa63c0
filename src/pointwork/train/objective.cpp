#include "pointwork/train/objective.h"

#include <algorithm>
#include <unordered_map>

#include "pointwork/nn/routed.h"
#include "pointwork/route/losses.h"

namespace pointwork {
namespace {

// A copy to a GPU waits for nothing: the driver stages pageable memory before it returns.
Tensor on(const std::vector<int32_t>& values, torch::Device device) {
  return torch::from_blob(const_cast<int32_t*>(values.data()),
                          {static_cast<int64_t>(values.size())}, torch::kInt32)
      .to(device, torch::kInt32, /*non_blocking=*/true, /*copy=*/true);
}

// Weight of each routed branch's decision loss, by name; 0 where there is nothing to learn.
std::unordered_map<std::string, double> decision_weights(const Model& model) {
  std::unordered_map<std::string, double> weights;
  for (const auto& module : model.modules(false)) {
    const auto* routed = dynamic_cast<const Routed*>(module.get());
    if (!routed) continue;
    const RouteConfig& config = routed->router->config();
    double weight = 0;
    if (routed->router->predictor) {
      weight = 1;
    } else if (config.choice == ChoiceKind::expert) {
      weight = config.decode_loss_weight;
    }
    weights[routed->router->name()] = weight;
  }
  return weights;
}

}  // namespace

BatchTensors to_tensors(const Batch& batch, torch::Device device, BatchOptions options) {
  BatchTensors tensors{on(batch.input, device), on(batch.target, device),
                       uniform_rows(batch.sequences, batch.length, device)};
  tensors.rows.key = torch::from_blob(const_cast<int64_t*>(batch.sequence.data()),
                                      {batch.sequences}, torch::kInt64)
                         .clone();
  if (options.document_mask) tensors.rows.document = on(batch.document, device);
  if (std::any_of(batch.valid.begin(), batch.valid.end(),
                  [&](int32_t v) { return v < batch.length; })) {
    const Tensor valid = on(batch.valid, device).unsqueeze(1);
    const Tensor column = torch::arange(batch.length, valid.options()).unsqueeze(0);
    tensors.rows.valid = column.lt(valid).flatten();
  }
  return tensors;
}

Losses compute_losses(Model& model, const BatchTensors& batch, Context& ctx, double z_loss) {
  ctx.rows = batch.rows;
  ModelOutput out = model.forward(batch.input, ctx);
  const CrossEntropyResult entropy =
      cross_entropy(out.hidden, model.head(), batch.target, {.z_loss = z_loss});
  Losses losses{entropy.loss, entropy.loss.detach(), entropy.nll_sum, entropy.count,
                std::move(out.routes)};
  if (!torch::GradMode::is_enabled() || losses.routes.empty()) return losses;
  const auto weights = decision_weights(model);
  for (const Route& route : losses.routes) {
    const double weight = weights.at(route.name);
    if (weight > 0 && route.capacity < 1)
      losses.total = losses.total + weight * decision_loss(route);
  }
  return losses;
}

}  // namespace pointwork
