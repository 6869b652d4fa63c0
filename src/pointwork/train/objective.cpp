#include "pointwork/train/objective.h"

#include <algorithm>
#include <unordered_map>

#include "pointwork/route/router.h"

namespace pointwork {
namespace {

// A copy to a GPU waits for nothing: the driver stages pageable memory before it returns.
Tensor on(const std::vector<int32_t>& values, torch::Device device) {
  return torch::from_blob(const_cast<int32_t*>(values.data()),
                          {static_cast<int64_t>(values.size())}, torch::kInt32)
      .to(device, torch::kInt32, /*non_blocking=*/true, /*copy=*/true);
}

std::unordered_map<std::string, const Router*> routers_by_name(const Model& model) {
  std::unordered_map<std::string, const Router*> routers;
  for (const auto& module : model.modules(false)) {
    if (const auto* router = dynamic_cast<const Router*>(module.get()))
      routers[router->name()] = router;
  }
  return routers;
}

// Layers whose losses are averaged.
double averaged_layers(const std::vector<Route>& routes,
                       const std::unordered_map<std::string, const Router*>& routers) {
  return static_cast<double>(std::count_if(routes.begin(), routes.end(), [&](const Route& route) {
    const RouteConfig& config = routers.at(route.name)->config();
    return config.by_token() && config.balance.layers == LayerReduction::mean;
  }));
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

Losses compute_losses(Model& model, const BatchTensors& batch, Context& ctx, double z_loss,
                      const TaughtBy* teacher) {
  ctx.rows = batch.rows;
  ModelOutput out = model.forward(batch.input, ctx);
  const CrossEntropyResult entropy =
      cross_entropy(out.hidden, model.head(), batch.target, {.z_loss = z_loss}, teacher);
  Losses losses{entropy.loss,  entropy.language, entropy.nll_sum,
                entropy.count, entropy.soft_sum, std::move(out.routes)};
  if (!torch::GradMode::is_enabled() || losses.routes.empty()) return losses;
  const auto routers = routers_by_name(model);
  const double averaged = averaged_layers(losses.routes, routers);
  for (const Route& route : losses.routes) {
    const Router& router = *routers.at(route.name);
    const Tensor loss = router.loss(route);
    if (!loss.defined()) continue;
    const bool mean =
        router.config().by_token() && router.config().balance.layers == LayerReduction::mean;
    losses.total = losses.total + (mean ? loss / averaged : loss);
  }
  return losses;
}

}  // namespace pointwork
