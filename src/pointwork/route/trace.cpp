#include "pointwork/route/trace.h"

#include <algorithm>
#include <cmath>

namespace pointwork {

std::vector<LayerTrace> trace_routes(const std::vector<Route>& routes, int64_t rows) {
  const torch::NoGradGuard no_grad;
  std::vector<LayerTrace> layers;
  const auto size = static_cast<size_t>(rows);
  for (const Route& route : routes) {
    LayerTrace layer;
    // Not counted here: an earlier round that no row came to has no route.
    layer.name = route.round == 0 ? route.name : route.name + "#" + std::to_string(route.round);
    layer.capacity = route.capacity;
    layer.reached.assign(size, 0);
    layer.entered.assign(size, 0);
    layer.weight.assign(size, std::nanf(""));
    layer.decision.assign(size, std::nanf(""));

    const Tensor choice = route.choice.defined() ? route.choice.cpu().contiguous() : Tensor();
    if (choice.defined()) {
      layer.experts = route.shape.experts;
      layer.top_k = choice.size(1);
      layer.choice.assign(size * static_cast<size_t>(layer.top_k), -1);
    }

    const Tensor root = route.root.cpu();
    const int32_t* of = root.data_ptr<int32_t>();
    Tensor decision;
    if (route.decision.defined()) {
      decision = route.decision.detach().to(torch::kFloat32).cpu();
      // Of several experts the one that wants the row most.
      decision = (decision.dim() == 2 ? decision.amax(1) : decision).contiguous();
    }
    for (int64_t t = 0; t < root.size(0); ++t) {
      if (of[t] < 0) continue;
      layer.reached[static_cast<size_t>(of[t])] = 1;
      if (decision.defined())
        layer.decision[static_cast<size_t>(of[t])] = decision.data_ptr<float>()[t];
      if (choice.defined())
        std::copy_n(choice.data_ptr<int32_t>() + t * layer.top_k, layer.top_k,
                    layer.choice.begin() + of[t] * layer.top_k);
    }
    const Tensor token = route.token.cpu();
    const Tensor weight = route.weight.defined()
                              ? route.weight.detach().to(torch::kFloat32).cpu().contiguous()
                              : Tensor();
    for (int64_t s = 0; s < token.size(0); ++s) {
      const int32_t row = token.data_ptr<int32_t>()[s];
      if (row < 0 || of[row] < 0) continue;
      const auto at = static_cast<size_t>(of[row]);
      const float own = weight.defined() ? weight.data_ptr<float>()[s] : 1.0f;
      layer.weight[at] = layer.entered[at] ? layer.weight[at] + own : own;
      layer.entered[at] = 1;
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::vector<double> depth_shares(const std::vector<LayerTrace>& layers, int64_t rows) {
  std::vector<double> shares(static_cast<size_t>(rows), 1);
  for (size_t t = 0; t < shares.size(); ++t) {
    int reached = 0, entered = 0;
    for (const LayerTrace& layer : layers) {
      reached += layer.reached[t];
      entered += layer.entered[t];
    }
    if (reached > 0) shares[t] = static_cast<double>(entered) / reached;
  }
  return shares;
}

}  // namespace pointwork
