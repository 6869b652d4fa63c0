#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/checkpoint/hugging_face_config.h"
#include "pointwork/checkpoint/layout.h"
#include "pointwork/checkpoint/names.h"

namespace pointwork {
namespace {

OrderedJson scaling_of(const RopeScalingConfig& r) {
  if (r.kind == RopeScalingKind::none) return nullptr;
  OrderedJson json = {{"rope_type", name_of(r.kind)}, {"factor", r.factor}};
  if (r.kind == RopeScalingKind::llama3) {
    json["low_freq_factor"] = r.low_freq_factor;
    json["high_freq_factor"] = r.high_freq_factor;
    json["original_max_position_embeddings"] = r.original_max_position_embeddings;
  }
  return json;
}

const char* name_in_transformers(Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return "gelu";
    case Activation::gelu_tanh:
      return "gelu_new";
    case Activation::relu:
      return "relu";
    case Activation::swiglu:
      return "silu";
  }
  return "";
}

// Says what it can of the first layers; whether that was all is found by reading it back.
class Teller {
 public:
  Teller(const std::string& type, const Config& config, const std::vector<LayerLayout>& layers)
      : type_(type), m_(config.model), layers_(layers), a_(*layers.front().attention) {
    json_ = {{"architectures", {class_named(type)->architecture}},
             {"model_type", type},
             {"vocab_size", m_.vocab_size}};
  }

  OrderedJson run() {
    if (type_ == "gpt2")
      gpt2();
    else if (type_ == "gpt_neox")
      gpt_neox();
    else
      llama();
    json_["tie_word_embeddings"] = m_.tie_word_embeddings;
    json_["initializer_range"] = m_.initializer_range;
    return std::move(json_);
  }

 private:
  int64_t width_of(const MlpConfig& mlp) const {
    return mlp.intermediate_size > 0 ? mlp.intermediate_size : 4 * m_.hidden_size;
  }
  int64_t head_dim() const {
    return a_.head_dim > 0 ? a_.head_dim : m_.hidden_size / a_.num_attention_heads;
  }

  void gpt2() {
    const MlpConfig& mlp = *layers_.front().mlp;
    json_["n_positions"] = m_.max_position_embeddings;
    json_["n_embd"] = m_.hidden_size;
    json_["n_layer"] = m_.num_hidden_layers;
    json_["n_head"] = a_.num_attention_heads;
    json_["n_inner"] = width_of(mlp);
    json_["activation_function"] = name_in_transformers(mlp.hidden_act);
    json_["layer_norm_epsilon"] = m_.norm_eps;
    json_["scale_attn_weights"] = a_.scale != 1;
    for (const char* drop : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) json_[drop] = 0.0;
  }

  void trunk(const char* eps) {
    const MlpConfig& mlp = *layers_.front().mlp;
    json_["hidden_size"] = m_.hidden_size;
    json_["intermediate_size"] = width_of(mlp);
    json_["num_hidden_layers"] = m_.num_hidden_layers;
    json_["num_attention_heads"] = a_.num_attention_heads;
    json_["max_position_embeddings"] = m_.max_position_embeddings;
    json_["hidden_act"] = name_in_transformers(mlp.hidden_act);
    json_[eps] = m_.norm_eps;
  }

  void gpt_neox() {
    trunk("layer_norm_eps");
    json_["attention_bias"] = a_.qkv_bias;
    json_["use_parallel_residual"] = layers_.front().parallel;
    json_["rotary_emb_base"] = a_.rope_theta;
    json_["rotary_pct"] = a_.partial_rotary_factor;
    json_["rope_scaling"] = scaling_of(a_.rope_scaling);
  }

  void llama() {
    trunk("rms_norm_eps");
    json_["num_key_value_heads"] =
        a_.num_key_value_heads > 0 ? a_.num_key_value_heads : a_.num_attention_heads;
    if (type_ != "olmoe") json_["head_dim"] = head_dim();
    json_["rope_theta"] = a_.rope_theta;
    json_["rope_scaling"] = scaling_of(a_.rope_scaling);
    if (type_ == "llama" || type_ == "qwen3" || type_ == "olmoe")
      json_["attention_bias"] = a_.qkv_bias;
    if (type_ == "llama") json_["mlp_bias"] = layers_.front().mlp->bias;
    if (type_ == "mistral" || type_ == "mixtral") json_["sliding_window"] = nullptr;
    if (type_.starts_with("qwen")) json_["use_sliding_window"] = false;
    if (type_ == "mixtral" || type_ == "olmoe" || type_ == "qwen2_moe") experts();
  }

  const LayerLayout* first(bool with_experts) const {
    for (const LayerLayout& layer : layers_) {
      if ((layer.experts != nullptr) == with_experts) return &layer;
    }
    return nullptr;
  }

  void experts() {
    const LayerLayout* sparse = first(true);
    if (!sparse) return;  // read back, there is no number of experts
    const RouteConfig& route = sparse->experts->route;
    json_[type_ == "mixtral" ? "num_local_experts" : "num_experts"] = route.num_experts;
    json_["num_experts_per_tok"] = route.top_k;
    if (type_ != "mixtral") json_["norm_topk_prob"] = route.weight != RouterWeight::raw;
    json_["router_aux_loss_coef"] = route.balance.loss_weight;
    if (type_ != "qwen2_moe") return;
    json_["qkv_bias"] = a_.qkv_bias;
    json_["moe_intermediate_size"] = width_of(*sparse->mlp);
    if (sparse->shared) json_["shared_expert_intermediate_size"] = width_of(*sparse->shared);
    if (const LayerLayout* dense = first(false)) json_["intermediate_size"] = width_of(*dense->mlp);
    json_["decoder_sparse_step"] = 1;
    json_["mlp_only_layers"] = OrderedJson::array();
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (!layers_[i].experts) json_["mlp_only_layers"].push_back(i);
    }
  }

  const std::string& type_;
  const ModelConfig& m_;
  const std::vector<LayerLayout>& layers_;
  const AttentionConfig& a_;
  OrderedJson json_;
};

}  // namespace

std::optional<OrderedJson> hugging_face_config(const std::string& model_type,
                                               const Config& config) {
  const auto layers = layouts_of(config);
  if (!layers || config.model.vocab_size == 0 || !class_named(model_type)) return std::nullopt;
  OrderedJson json = Teller(model_type, config, *layers).run();
  try {
    if (same_computation(config_of(json, "config.json"), config)) return json;
  } catch (const Error&) {
    // The class cannot even say such a model.
  }
  return std::nullopt;
}

std::optional<OrderedJson> hugging_face_config(const Config& config) {
  for (const ClassNames& one : all_classes()) {
    if (auto json = hugging_face_config(std::string(one.model_type), config)) return json;
  }
  return std::nullopt;
}

OrderedJson merged_config(const OrderedJson& json, const OrderedJson& fresh) {
  // Said once, in the older words, which every version reads.
  OrderedJson merged = json;
  for (const char* key : {"rope_parameters", "layer_types", "rotary_emb_base", "rope_theta",
                          "rotary_pct", "rope_scaling"})
    merged.erase(key);
  merged.update(fresh);
  return merged;
}

}  // namespace pointwork
