#include "pointwork/checkpoint/layout.h"

#include <nlohmann/json.hpp>

#include "pointwork/base/check.h"
#include "pointwork/config/grammar.h"

namespace pointwork {
namespace {

using Json = nlohmann::json;

template <class Form>
const Form* form_of(const Config& config, const std::string& name) {
  const auto found = config.branch.find(name);
  return found == config.branch.end() ? nullptr : std::get_if<Form>(&found->second.form);
}

// routed(token choice, mlp x E).
bool take_experts(const Config& config, const RoutedConfig& routed, const std::string& at,
                  LayerLayout& layer) {
  const MlpConfig* mlp = routed_mlp(config, routed);
  if (!mlp || !routed.route.by_token() || routed.route.num_experts < 2) return false;
  layer.experts = &routed;
  layer.mlp = mlp;
  layer.mlp_at = at + ".body";
  layer.router_at = at + ".router";
  return true;
}

// A routed mlp that every row enters, weighed by the sigmoid of its score.
bool take_shared(const Config& config, const RoutedConfig& routed, const std::string& at,
                 LayerLayout& layer) {
  const RouteConfig& route = routed.route;
  const MlpConfig* mlp = routed_mlp(config, routed);
  if (!mlp || route.choice != ChoiceKind::expert || route.num_experts != 1 || route.capacity < 1 ||
      route.weight != RouterWeight::sigmoid || route.decode != CausalDecision::router)
    return false;
  layer.shared = mlp;
  layer.shared_at = at + ".body";
  layer.shared_router_at = at + ".router";
  return true;
}

bool take_feed_forward(const Config& config, const std::string& name, const std::string& at,
                       LayerLayout& layer) {
  if (const auto* mlp = form_of<MlpConfig>(config, name)) {
    layer.mlp = mlp;
    layer.mlp_at = at;
    layer.norm_at = at + ".norm";
    return true;
  }
  if (const auto* routed = form_of<RoutedConfig>(config, name)) {
    layer.norm_at = at + ".norm";
    return norm_outside(config, *routed) && take_experts(config, *routed, at, layer);
  }
  const auto* both = form_of<ParallelConfig>(config, name);
  if (!both || both->norm != ParallelNorm::outside || both->of.size() != 2) return false;
  const auto* experts = form_of<RoutedConfig>(config, both->of[0]);
  const auto* shared = form_of<RoutedConfig>(config, both->of[1]);
  layer.norm_at = at + ".norm";
  return experts && shared && both->of[0] != both->of[1] &&
         take_experts(config, *experts, at + "." + both->of[0], layer) &&
         take_shared(config, *shared, at + "." + both->of[1], layer);
}

std::optional<LayerLayout> layout_of(const Config& config, const std::string& name,
                                     const std::string& at) {
  LayerLayout layer;
  const auto* chain = form_of<ChainConfig>(config, name);
  const auto* parallel = form_of<ParallelConfig>(config, name);
  if (parallel && parallel->norm == ParallelNorm::outside) return std::nullopt;
  if (!chain && !parallel) return std::nullopt;
  const std::vector<std::string>& of = chain ? chain->of : parallel->of;
  if (of.size() != 2) return std::nullopt;
  layer.parallel = parallel != nullptr;
  layer.attention = form_of<AttentionConfig>(config, of[0]);
  layer.attention_at = at + "." + of[0];
  if (!layer.attention || !take_feed_forward(config, of[1], at + "." + of[1], layer))
    return std::nullopt;
  return layer;
}

Json told(const ModelConfig& model, const AttentionConfig& a) {
  const int64_t width = a.head_dim > 0 ? a.head_dim : model.hidden_size / a.num_attention_heads;
  const RopeScalingConfig& r = a.rope_scaling;
  Json rope = Json::array();
  if (const int64_t rotated = rotary_width(a, width); rotated > 0) {
    rope = {rotated, a.rope_theta};
    const bool some = r.kind != RopeScalingKind::none;
    if (some) rope.insert(rope.end(), {name_of(r.kind), r.factor});
    if (r.kind == RopeScalingKind::llama3)
      rope.insert(rope.end(),
                  {r.low_freq_factor, r.high_freq_factor, r.original_max_position_embeddings});
  }
  return {a.num_attention_heads,
          a.num_key_value_heads > 0 ? a.num_key_value_heads : a.num_attention_heads,
          width,
          rope,
          a.scale > 0 ? a.scale : 1 / std::sqrt(static_cast<double>(width)),
          name_of(a.qk_norm),
          a.qkv_bias,
          a.output_bias,
          a.output_norm};
}

Json told(const ModelConfig& model, const MlpConfig& m) {
  return {m.intermediate_size > 0 ? m.intermediate_size : 4 * model.hidden_size,
          name_of(m.hidden_act), m.bias, m.output_norm};
}

Json told(const RouteConfig& r) {
  // One choice whose weight is its share of itself weighs 1.
  const bool one = r.top_k == 1 && r.weight == RouterWeight::renormalised;
  return {r.num_experts,
          r.num_noop,
          r.top_k,
          name_of(r.score),
          name_of(r.router_dtype),
          r.routed_scaling_factor,
          name_of(r.second_choice),
          r.second_choice == SecondChoice::threshold ? r.second_threshold : 0,
          r.balance.bias_rate > 0 || r.target_active > 0,
          name_of(one ? RouterWeight::none : r.weight)};
}

Json told(const Config& config, const std::vector<LayerLayout>& layers) {
  const ModelConfig& m = config.model;
  Json all = {m.vocab_size,
              m.hidden_size,
              m.num_hidden_layers,
              m.max_position_embeddings,
              name_of(m.norm),
              name_of(m.position_embedding),
              m.norm_eps,
              m.norm == NormKind::layernorm && m.norm_bias,
              m.tie_word_embeddings,
              Json::array()};
  for (const LayerLayout& layer : layers)
    all.back().push_back({layer.parallel, told(m, *layer.attention), told(m, *layer.mlp),
                          layer.experts ? told(layer.experts->route) : Json(),
                          layer.shared ? told(m, *layer.shared) : Json()});
  return all;
}

}  // namespace

std::optional<std::vector<LayerLayout>> layouts_of(const Config& config) {
  std::vector<LayerLayout> layers;
  for (const std::string& name : layer_names(config.model)) {
    auto layer = layout_of(config, name, concat("layers.", layers.size()));
    if (!layer) return std::nullopt;
    layers.push_back(std::move(*layer));
  }
  return layers;
}

bool same_computation(const Config& a, const Config& b) {
  const auto one = layouts_of(a), other = layouts_of(b);
  return one && other && told(a, *one) == told(b, *other);
}

}  // namespace pointwork
