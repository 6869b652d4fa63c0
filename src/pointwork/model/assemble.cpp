#include "pointwork/model/assemble.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/model/weightless.h"
#include "pointwork/nn/attention.h"
#include "pointwork/nn/mlp.h"

namespace pointwork {
namespace {

// The one attention and the one mlp of a layer.
struct Leaves {
  Attention* attention = nullptr;
  Mlp* mlp = nullptr;
};

Leaves leaves_of(const Model& model, size_t layer, const char* whose) {
  Leaves leaves;
  int64_t attentions = 0, mlps = 0;
  for (const auto& module : model.layers()[layer]->modules()) {
    if (auto* attention = dynamic_cast<Attention*>(module.get())) {
      leaves.attention = attention;
      ++attentions;
    }
    if (auto* mlp = dynamic_cast<Mlp*>(module.get())) {
      leaves.mlp = mlp;
      ++mlps;
    }
  }
  check(attentions == 1 && mlps == 1, "layer ", layer, " of the ", whose,
        " model must have one attention and one mlp in it but has ", attentions, " and ", mlps);
  check(leaves.mlp->norm != nullptr, "layer ", layer, " of the ", whose,
        " model has its mlp's norm outside; every module keeps its own: norm = \"inside\"");
  return leaves;
}

int64_t experts_of(const Attention& attention) {
  return attention.router ? attention.router->config().num_experts : 1;
}
int64_t experts_of(const Mlp& mlp) { return std::max<int64_t>(mlp.experts(), 1); }

std::vector<AssembledLayer> plan(const Model& dense, const Model& target, int64_t pool) {
  std::vector<AssembledLayer> all;
  int64_t next = 0;
  for (size_t i = 0; i < target.layers().size(); ++i) {
    const Leaves leaves = leaves_of(target, i, "assembled");
    AssembledLayer layer{.first = next,
                         .count = 1,
                         .attention = experts_of(*leaves.attention),
                         .mlp = experts_of(*leaves.mlp)};
    layer.count = std::max(layer.attention, layer.mlp);
    if (layer.count > 1 && pool > 0) {
      check(pool >= layer.count, "a pool of ", pool, " dense layers is too small for layer ", i,
            " of the assembly, which has ", layer.attention, " attention and ", layer.mlp,
            " mlp modules");
      layer.count = pool;
    }
    next += layer.count;
    all.push_back(layer);
  }
  const auto have = static_cast<int64_t>(dense.layers().size());
  std::string sum;
  for (const AssembledLayer& layer : all) sum += concat(sum.empty() ? "" : " + ", layer.count);
  check(next == have, "the assembly is made of ", next, " dense layers (", sum,
        "), but the dense model has ", have);
  for (size_t i = 0; i < dense.layers().size(); ++i) {
    const Leaves leaves = leaves_of(dense, i, "dense");
    check(!leaves.attention->router && leaves.mlp->experts() == 0, "layer ", i,
          " of the dense model has experts already: only a dense model can be assembled");
  }
  return all;
}

// Copies one tensor, into its expert where the target has several.
void copy(const Tensor& from, const Tensor& to, int64_t expert, const std::string& name) {
  check(from.defined() == to.defined(), name,
        to.defined() ? " is wanted, but the dense model has "
                     : " is not wanted, but the dense model has ",
        from.defined() ? "it" : "none");
  if (!to.defined()) return;
  Tensor own = to.dim() == from.dim() + 1 ? to[expert] : to;
  check(own.sizes() == from.sizes(), name, " must be ", own.sizes(), " for the assembly but is ",
        from.sizes(), " in the dense model");
  own.copy_(from);
}

void copy(const std::shared_ptr<Norm>& from, const std::shared_ptr<Norm>& to, int64_t expert,
          const std::string& name) {
  check(!from == !to, name, " must be in both models or in none");
  if (!to) return;
  copy(from->weight, to->weight, expert, name + ".weight");
  copy(from->bias, to->bias, expert, name + ".bias");
}

void copy(const Attention& from, Attention& to, int64_t expert, const std::string& name) {
  check(from.heads() == to.heads() && from.key_value_heads() == to.key_value_heads() &&
            from.head_dim() == to.head_dim(),
        name, " has ", from.heads(), " query and ", from.key_value_heads(),
        " key-value heads of width ", from.head_dim(), " in the dense model, but the assembly has ",
        to.heads(), " and ", to.key_value_heads(), " of width ", to.head_dim());
  copy(from.norm, to.norm, expert, name + ".norm");
  copy(from.qkv, to.qkv, expert, name + ".qkv");
  copy(from.qkv_bias, to.qkv_bias, expert, name + ".qkv_bias");
  copy(from.output, to.output, expert, name + ".output");
  copy(from.output_bias, to.output_bias, expert, name + ".output_bias");
  copy(from.query_norm, to.query_norm, expert, name + ".query_norm");
  copy(from.key_norm, to.key_norm, expert, name + ".key_norm");
  copy(from.output_norm, to.output_norm, expert, name + ".output_norm");
}

void copy(const Mlp& from, Mlp& to, int64_t expert, const std::string& name) {
  copy(from.norm, to.norm, expert, name + ".norm");
  copy(from.up, to.up, expert, name + ".up");
  copy(from.up_bias, to.up_bias, expert, name + ".up_bias");
  copy(from.down, to.down, expert, name + ".down");
  copy(from.down_bias, to.down_bias, expert, name + ".down_bias");
  copy(from.output_norm, to.output_norm, expert, name + ".output_norm");
}

template <class Visit>
void for_each_token_route(Config& config, const Visit& visit) {
  for (auto& [name, branch] : config.branch) {
    if (auto* routed = std::get_if<RoutedConfig>(&branch.form); routed && routed->route.by_token())
      visit(concat("branch.", name, ".route"), routed->route);
    if (auto* attention = std::get_if<AttentionConfig>(&branch.form);
        attention && attention->projection_route)
      visit(concat("branch.", name, ".projection_route"),
            static_cast<RouteConfig&>(*attention->projection_route));
  }
}

// A module's weight is 1, and it alone is chosen.
void check_preserving(const std::string& path, const RouteConfig& route) {
  check(route.top_k == 1 && route.top_k_start <= 1, path,
        ".top_k must be 1 for a preserving start, found ",
        std::max(route.top_k, route.top_k_start));
  check(
      route.weight == RouterWeight::ste || route.weight == RouterWeight::none, path,
      ".weight must be \"ste\" for a preserving start, where each module counts in full, found \"",
      name_of(route.weight), "\"");
  check(route.in_order_steps > 0, path,
        ".in_order_steps must be above 0 for a preserving start, found 0");
}

Config with_start(const Config& dense, const Config& target, const AssembleOptions& options) {
  Config made = target;
  const int64_t vocabulary = dense.model.vocab_size;
  if (made.model.vocab_size == 0) made.model.vocab_size = vocabulary;
  check(made.model.vocab_size == vocabulary, "model.vocab_size is ", made.model.vocab_size,
        ", but the dense model has ", vocabulary);
  const bool preserving = options.start == AssemblyStart::preserving;
  for_each_token_route(made, [&](const std::string& path, RouteConfig& route) {
    if (!preserving) {
      route.in_order_steps = 0;
      route.in_order_bias = RouteConfig{}.in_order_bias;
      return;
    }
    if (options.in_order_steps > 0) route.in_order_steps = options.in_order_steps;
    check_preserving(path, route);
  });
  return parse_config(to_toml(made), "assembled");  // ranges, and what does not fit together
}

}  // namespace

std::vector<AssembledLayer> assembled_layers(const Config& dense, const Config& target,
                                             int64_t pool) {
  const Weightless weightless;
  return plan(Model(dense), Model(target), pool);
}

Config assembled(const Config& dense, const Config& target, const AssembleOptions& options) {
  const Config made = with_start(dense, target, options);
  const std::vector<AssembledLayer> layers = assembled_layers(dense, made, options.pool);
  if (options.start == AssemblyStart::preserving) {
    for (size_t i = 0; i < layers.size(); ++i)
      check(layers[i].attention == layers[i].count && layers[i].mlp == layers[i].count, "layer ", i,
            " of the assembly has ", layers[i].attention, " attention and ", layers[i].mlp,
            " mlp modules: a preserving start keeps every layer whole");
  }
  return made;
}

std::shared_ptr<Model> assemble(const Model& dense, const Config& target,
                                const AssembleOptions& options) {
  const torch::NoGradGuard no_grad;
  const auto made = std::make_shared<Model>(assembled(dense.config(), target, options));
  initialise(*made, options.seed);
  convert(*made, dense.dtype(), dense.device());
  copy(dense.embedding, made->embedding, 0, "embedding");
  copy(dense.position, made->position, 0, "position");
  copy(dense.norm, made->norm, 0, "norm");
  copy(dense.untied_head, made->untied_head, 0, "head");
  const std::vector<AssembledLayer> layers = plan(dense, *made, options.pool);
  for (size_t i = 0; i < layers.size(); ++i) {
    const Leaves to = leaves_of(*made, i, "assembled");
    for (int64_t e = 0; e < layers[i].count; ++e) {
      const auto layer = static_cast<size_t>(layers[i].first + e);
      const Leaves from = leaves_of(dense, layer, "dense");
      const std::string name = concat("layers.", layer, ".");
      if (e < layers[i].attention) copy(*from.attention, *to.attention, e, name + "attention");
      if (e < layers[i].mlp) copy(*from.mlp, *to.mlp, e, name + "mlp");
    }
  }
  return made;
}

}  // namespace pointwork
