#include "pointwork/checkpoint/hugging_face_config.h"

#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/checkpoint/known_keys.h"
#include "pointwork/checkpoint/names.h"

namespace pointwork {
namespace {

// Of one class, where they are not the same in all.
struct Defaults {
  double theta = 10000;
  double eps = 1e-6;
  bool tied = false;
};

Activation activation_of(JsonKeys& keys, const std::string& key, const std::string& usual) {
  const std::string name = keys.text(key, usual);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return Activation::gelu_tanh;
  if (name == "gelu" || name == "gelu_python") return Activation::gelu;
  if (name == "relu") return Activation::relu;
  keys.refuse(key, "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast or relu");
}

void read_rope_kind(JsonKeys& rope, int64_t positions, RopeScalingConfig& scaling) {
  // "type" is the older word.
  const std::string old = rope.text("type", "default"), kind = rope.text("rope_type", old);
  if (rope.has("type") && kind != old) rope.refuse("type", concat("rope_type, ", kind));
  if (kind == "linear") {
    scaling.kind = RopeScalingKind::linear;
    scaling.factor = rope.number("factor");
  } else if (kind == "llama3") {
    scaling.kind = RopeScalingKind::llama3;
    scaling.factor = rope.number("factor");
    scaling.low_freq_factor = rope.number("low_freq_factor");
    scaling.high_freq_factor = rope.number("high_freq_factor");
    scaling.original_max_position_embeddings =
        rope.whole("original_max_position_embeddings", positions);
  } else if (kind != "default") {
    rope.refuse(rope.has("rope_type") ? "rope_type" : "type", "default, linear or llama3");
  }
}

// rope_parameters (transformers 5), or rope_theta and rope_scaling beside other keys.
void read_rope(JsonKeys& keys, const std::string& theta_key, double theta,
               const std::string& share_key, double share, AttentionConfig& a, int64_t head_dim,
               int64_t positions) {
  const OrderedJson *fresh = keys.take("rope_parameters"), *old = keys.take("rope_scaling");
  if (fresh && old && *fresh != *old)
    keys.refuse("rope_scaling", "absent beside rope_parameters, or the same");
  a.rope_theta = keys.number(theta_key, theta);
  a.partial_rotary_factor = keys.number(share_key, share);
  if (const OrderedJson* table = fresh ? fresh : old) {
    const std::string name = fresh ? "rope_parameters" : "rope_scaling";
    if (!table->is_object()) keys.refuse(name, "a table");
    JsonKeys rope(*table, keys.where() + ": " + name);
    const auto same = [&](const std::string& inner, const std::string& outer, double& value) {
      const double found = rope.number(inner, value);
      if (keys.has(outer) && found != value)
        rope.refuse(inner, concat(outer, " beside it, ", value));
      value = found;
    };
    same("rope_theta", theta_key, a.rope_theta);
    same("partial_rotary_factor", share_key, a.partial_rotary_factor);
    read_rope_kind(rope, positions, a.rope_scaling);
    for (const std::string& left : rope.left()) {
      if (rope.has(left)) rope.refuse(left, "absent: it is not known");
    }
  }
  if (a.rope_theta <= 0) keys.refuse(theta_key, "above 0");
  // They cut the width off where we round it.
  const auto width = static_cast<int64_t>(a.partial_rotary_factor * static_cast<double>(head_dim));
  if (rotary_width(a, head_dim) != width)
    a.partial_rotary_factor = static_cast<double>(width) / static_cast<double>(head_dim);
}

void refuse_window(JsonKeys& keys, const std::string& key, int64_t window, int64_t positions) {
  if (window < positions)
    keys.refuse(key, concat("null or at least max_position_embeddings, ", positions,
                            ", as attention here is to all positions before"));
}

class Reader {
 public:
  Reader(const OrderedJson& json, const std::string& where)
      : keys_(json, where), type_(keys_.text("model_type")) {}

  Config run() {
    std::string known;
    for (const ClassNames& one : all_classes())
      known += concat(known.empty() ? "" : ", ", one.model_type);
    if (!class_named(type_)) keys_.refuse("model_type", "one of " + known);
    const std::vector<std::string> layers = type_ == "gpt2"       ? gpt2()
                                            : type_ == "gpt_neox" ? gpt_neox()
                                                                  : llama();
    set_layers(layers);
    refuse_unknown();
    config_.train.sequence_length = std::min<int64_t>(config_.model.max_position_embeddings, 1024);
    return parse_config(to_toml(config_), keys_.where());  // ranges too
  }

 private:
  template <class Form>
  std::string branch(const std::string& name, const Form& form) {
    config_.branch[name].form = form;
    return name;
  }

  std::vector<std::string> gpt2() {
    ModelConfig& m = config_.model;
    m.vocab_size = keys_.whole("vocab_size");
    m.hidden_size = keys_.whole("n_embd");
    m.num_hidden_layers = keys_.whole("n_layer");
    m.max_position_embeddings = keys_.whole("n_positions");
    m.norm_eps = keys_.number("layer_norm_epsilon", 1e-5);
    m.tie_word_embeddings = keys_.flag("tie_word_embeddings", true);
    m.initializer_range = keys_.number("initializer_range", 0.02);
    AttentionConfig a{.qkv_bias = true, .output_bias = true};
    a.num_attention_heads = keys_.whole("n_head");
    if (!keys_.flag("scale_attn_weights", true)) a.scale = 1;
    if (keys_.flag("scale_attn_by_inverse_layer_idx", false))
      keys_.refuse("scale_attn_by_inverse_layer_idx", "false");
    keys_.pass("reorder_and_upcast_attn");  // how the same is computed
    MlpConfig mlp{.bias = true};
    mlp.intermediate_size = keys_.whole("n_inner", 4 * m.hidden_size);
    mlp.hidden_act = activation_of(keys_, "activation_function", "gelu_new");
    branch("attention", a);
    branch("mlp", mlp);
    return all_layers(branch("dense", ChainConfig{{"attention", "mlp"}}));
  }

  std::vector<std::string> gpt_neox() {
    ModelConfig& m = config_.model;
    trunk({.eps = 1e-5}, "layer_norm_eps");
    m.norm = NormKind::layernorm;
    AttentionConfig a;
    a.num_attention_heads = keys_.whole("num_attention_heads");
    a.qkv_bias = a.output_bias = keys_.flag("attention_bias", true);
    const int64_t width = m.hidden_size / a.num_attention_heads;
    // Both names have been in use, now and then side by side.
    const std::string base = keys_.has("rotary_emb_base") ? "rotary_emb_base" : "rope_theta";
    if (keys_.number("rope_theta", keys_.number(base, 10000)) != keys_.number(base, 10000))
      keys_.refuse("rope_theta", "rotary_emb_base beside it");
    read_rope(keys_, base, 10000, "rotary_pct", 0.25, a, width, m.max_position_embeddings);
    MlpConfig mlp{.bias = true};
    mlp.intermediate_size = keys_.whole("intermediate_size");
    mlp.hidden_act = activation_of(keys_, "hidden_act", "gelu");
    branch("attention", a);
    branch("mlp", mlp);
    const std::vector<std::string> of{"attention", "mlp"};
    return all_layers(keys_.flag("use_parallel_residual", true)
                          ? branch("dense", ParallelConfig{.of = of})
                          : branch("dense", ChainConfig{of}));
  }

  // Keys that all but gpt2 call alike.
  void trunk(const Defaults& usual, const std::string& eps) {
    ModelConfig& m = config_.model;
    m.vocab_size = keys_.whole("vocab_size");
    m.hidden_size = keys_.whole("hidden_size");
    m.num_hidden_layers = keys_.whole("num_hidden_layers");
    m.max_position_embeddings = keys_.whole("max_position_embeddings");
    m.position_embedding = PositionEmbedding::none;
    m.norm_eps = keys_.number(eps, usual.eps);
    m.tie_word_embeddings = keys_.flag("tie_word_embeddings", usual.tied);
    m.initializer = Initializer::llama;
    m.initializer_range = keys_.number("initializer_range", 0.02);
  }

  std::vector<std::string> llama() {
    const bool mixtral = type_ == "mixtral", olmoe = type_ == "olmoe";
    trunk({.eps = mixtral || olmoe ? 1e-5 : 1e-6}, "rms_norm_eps");
    config_.model.norm = NormKind::rmsnorm;
    branch("attention", llama_attention(mixtral ? 1e6 : 10000));
    windows();
    if (keys_.text("hidden_act", "silu") != "silu") keys_.refuse("hidden_act", "silu");
    MlpConfig mlp{.hidden_act = Activation::swiglu};
    mlp.intermediate_size = keys_.whole("intermediate_size");
    if (type_ == "llama") mlp.bias = keys_.flag("mlp_bias", false);
    if (mixtral || olmoe) {
      branch("mlp", mlp);
      branch("experts", experts(mixtral ? "num_local_experts" : "num_experts",
                                mixtral || keys_.flag("norm_topk_prob", false)));
      return all_layers(branch("moe", ChainConfig{{"attention", "experts"}}));
    }
    if (type_ == "qwen2_moe") return qwen2_moe(mlp);
    branch("mlp", mlp);
    return all_layers(branch("dense", ChainConfig{{"attention", "mlp"}}));
  }

  AttentionConfig llama_attention(double theta) {
    const ModelConfig& m = config_.model;
    AttentionConfig a;
    a.num_attention_heads = keys_.whole("num_attention_heads");
    const bool given = keys_.has("num_key_value_heads") || type_ == "llama" || type_ == "olmoe";
    if (!given) keys_.refuse("num_key_value_heads", "given");
    a.num_key_value_heads = keys_.whole("num_key_value_heads", a.num_attention_heads);
    int64_t width = type_ == "qwen3" ? 128 : m.hidden_size / a.num_attention_heads;
    width = keys_.whole("head_dim", width);
    if (width * a.num_attention_heads != m.hidden_size) a.head_dim = width;
    const std::string share = "partial_rotary_factor";
    read_rope(keys_, "rope_theta", theta, share, 1, a, width, m.max_position_embeddings);
    if (a.partial_rotary_factor != 1) keys_.refuse(share, "1 in this class");
    if (type_ == "qwen2") {
      a.qkv_bias = true;
    } else if (type_ == "qwen2_moe") {
      a.qkv_bias = keys_.flag("qkv_bias", true);
    } else if (type_ == "llama" || type_ == "qwen3" || type_ == "olmoe") {
      a.qkv_bias = a.output_bias = keys_.flag("attention_bias", false);
    }
    if (type_ == "qwen3") a.qk_norm = QkNorm::head;
    if (type_ == "olmoe") {
      a.qk_norm = QkNorm::projection;
      if (keys_.take("clip_qkv")) keys_.refuse("clip_qkv", "null");
      if (a.head_dim > 0)
        keys_.refuse("head_dim", concat("hidden_size / num_attention_heads in this class, ",
                                        m.hidden_size / a.num_attention_heads));
    }
    return a;
  }

  // Attention is to all positions before: a window must reach as far.
  void windows() {
    const int64_t positions = config_.model.max_position_embeddings;
    if (type_ == "mistral" || type_ == "mixtral") {
      // An absent key is 4096 in mistral, null is none.
      if (type_ == "mistral" && !keys_.take("sliding_window") && !is_null("sliding_window"))
        refuse_window(keys_, "sliding_window", 4096, positions);
      refuse_window(keys_, "sliding_window", keys_.whole("sliding_window", positions), positions);
    } else if (type_.starts_with("qwen")) {
      const bool used = keys_.flag("use_sliding_window", false) && any_layer_slides();
      const OrderedJson* window = keys_.take("sliding_window");
      if (used && (!window || !window->is_number_integer() || window->get<int64_t>() < positions))
        refuse_window(keys_, "sliding_window", 0, positions);
    }
  }

  bool is_null(const std::string& key) { return keys_.is_null(key); }

  bool any_layer_slides() {
    const int64_t first = keys_.whole("max_window_layers", 28);
    const OrderedJson* types = keys_.take("layer_types");
    if (!types) return type_ == "qwen2_moe" || first < config_.model.num_hidden_layers;
    bool any = false;
    for (const OrderedJson& one : *types) any = any || one != "full_attention";
    return any;
  }

  RoutedConfig experts(const std::string& number_key, bool renormalised) {
    RoutedConfig routed{.of = "mlp", .norm = RoutedNorm::outside};
    RouteConfig& route = routed.route;
    route.choice = ChoiceKind::token;
    route.num_experts = keys_.whole(number_key);
    route.top_k = keys_.whole("num_experts_per_tok");
    if (route.num_experts < 2) keys_.refuse(number_key, "at least 2");
    route.weight = !renormalised     ? RouterWeight::raw
                   : route.top_k > 1 ? RouterWeight::renormalised
                                     : RouterWeight::none;  // its share of itself
    route.dropless = true;
    route.exploration = Exploration::none;
    route.balance.layers = LayerReduction::mean;
    route.balance.loss_weight =
        keys_.number("router_aux_loss_coef", type_ == "olmoe" ? 0.01 : 1e-3);
    return routed;
  }

  std::vector<std::string> qwen2_moe(const MlpConfig& dense) {
    MlpConfig expert = dense, shared = dense;
    expert.intermediate_size = keys_.whole("moe_intermediate_size");
    shared.intermediate_size = keys_.whole("shared_expert_intermediate_size");
    const RoutedConfig routed = experts("num_experts", keys_.flag("norm_topk_prob", false));
    std::vector<bool> sparse = sparse_layers();
    std::vector<std::string> names;
    for (const bool one : sparse) names.emplace_back(one ? "moe" : "dense");
    if (std::find(sparse.begin(), sparse.end(), false) != sparse.end()) {
      branch("mlp", dense);
      branch("dense", ChainConfig{{"attention", "mlp"}});
    }
    if (std::find(sparse.begin(), sparse.end(), true) == sparse.end()) return names;
    branch("expert", expert);
    branch("shared_expert", shared);
    RoutedConfig chosen = routed, always{.of = "shared_expert", .norm = RoutedNorm::automatic};
    chosen.of = "expert";
    chosen.norm = RoutedNorm::automatic;  // the norm is of the branch around both
    always.route.capacity = 1;
    always.route.weight = RouterWeight::sigmoid;
    always.route.decode = CausalDecision::router;
    branch("experts", chosen);
    branch("shared", always);
    branch("both", ParallelConfig{.of = {"experts", "shared"}, .norm = ParallelNorm::outside});
    branch("moe", ChainConfig{{"attention", "both"}});
    return names;
  }

  std::vector<bool> sparse_layers() {
    const int64_t step = keys_.whole("decoder_sparse_step", 1);
    std::vector<bool> sparse;
    for (int64_t i = 0; i < config_.model.num_hidden_layers; ++i)
      sparse.push_back((i + 1) % step == 0);
    const OrderedJson* dense = keys_.take("mlp_only_layers");
    if (!dense) return sparse;
    if (!dense->is_array()) keys_.refuse("mlp_only_layers", "a list of layers");
    for (const OrderedJson& one : *dense) {
      if (!one.is_number_integer() || one.get<uint64_t>() >= sparse.size())
        keys_.refuse("mlp_only_layers", concat("of layers 0 .. ", sparse.size() - 1));
      sparse[one.get<size_t>()] = false;
    }
    return sparse;
  }

  std::vector<std::string> all_layers(const std::string& name) {
    return std::vector<std::string>(static_cast<size_t>(config_.model.num_hidden_layers), name);
  }

  // The shortest list that is repeated.
  void set_layers(const std::vector<std::string>& names) {
    size_t period = 1;
    for (size_t i = 1; i < names.size(); ++i) {
      if (names[i] != names[i - period]) period = i + 1;
    }
    config_.model.layers.repeat.assign(names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(period));
  }

  void refuse_unknown() {
    for (const std::string& key : keys_.left()) {
      if (!is_harmless(key) && !keys_.is_off(key))
        fail(keys_.where(), ": the key ", printable(key),
             " is not known, and may change what the model computes (", type_,
             "); remove it if it does not");
    }
  }

  JsonKeys keys_;
  std::string type_;
  Config config_;
};

}  // namespace

Config config_of(const OrderedJson& json, const std::string& where) {
  return Reader(json, where).run();
}

}  // namespace pointwork
