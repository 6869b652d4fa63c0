#include "pointwork/checkpoint/names.h"

#include <numeric>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

constexpr std::string_view kInverseFrequencies = "rotary_emb.inv_freq";

// Llama's names, which most have taken over.
ClassNames llama_like(std::string_view model_type, std::string_view architecture) {
  return {.model_type = model_type,
          .architecture = architecture,
          .prefix = "model.",
          .embedding = "embed_tokens",
          .norm = "norm",
          .head = "lm_head",
          .layer = "layers.",
          .attention_norm = "input_layernorm",
          .mlp_norm = "post_attention_layernorm",
          .qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
          .output = "self_attn.o_proj",
          .query_norm = "self_attn.q_norm",
          .key_norm = "self_attn.k_norm",
          .up = {"mlp.gate_proj", "mlp.up_proj"},
          .down = "mlp.down_proj",
          .buffers = {kInverseFrequencies}};
}

ClassNames with_experts(ClassNames names) {
  names.router = {"mlp.gate"};
  names.experts = {
      {.gate = "mlp.experts.{e}.gate_proj",
       .up = "mlp.experts.{e}.up_proj",
       .down = "mlp.experts.{e}.down_proj"},
      {.gate_up_stacked = "mlp.experts.gate_up_proj", .down_stacked = "mlp.experts.down_proj"}};
  return names;
}

ClassNames gpt2() {
  return {.model_type = "gpt2",
          .architecture = "GPT2LMHeadModel",
          .prefix = "transformer.",
          .embedding = "wte",
          .position = "wpe",
          .norm = "ln_f",
          .head = "lm_head",
          .layer = "h.",
          .attention_norm = "ln_1",
          .mlp_norm = "ln_2",
          .qkv = {"attn.c_attn"},
          .output = "attn.c_proj",
          .up = {"mlp.c_fc"},
          .down = "mlp.c_proj",
          .attention_fold = Fold::transposed,
          .mlp_fold = Fold::transposed,
          .buffers = {".attn.bias", ".attn.masked_bias"}};
}

ClassNames gpt_neox() {
  return {.model_type = "gpt_neox",
          .architecture = "GPTNeoXForCausalLM",
          .prefix = "gpt_neox.",
          .embedding = "embed_in",
          .norm = "final_layer_norm",
          .head = "embed_out",
          .layer = "layers.",
          .attention_norm = "input_layernorm",
          .mlp_norm = "post_attention_layernorm",
          .qkv = {"attention.query_key_value"},
          .output = "attention.dense",
          .up = {"mlp.dense_h_to_4h"},
          .down = "mlp.dense_4h_to_h",
          .attention_fold = Fold::heads,
          .buffers = {".attention.bias", ".attention.masked_bias", kInverseFrequencies}};
}

ClassNames mixtral() {
  ClassNames names = llama_like("mixtral", "MixtralForCausalLM");
  names.router = {"block_sparse_moe.gate", "mlp.gate"};
  names.experts = {
      {.gate = "block_sparse_moe.experts.{e}.w1",
       .up = "block_sparse_moe.experts.{e}.w3",
       .down = "block_sparse_moe.experts.{e}.w2"},
      {.gate_up_stacked = "mlp.experts.gate_up_proj", .down_stacked = "mlp.experts.down_proj"}};
  return names;
}

ClassNames qwen2_moe() {
  ClassNames names = with_experts(llama_like("qwen2_moe", "Qwen2MoeForCausalLM"));
  names.shared_up = {"mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj"};
  names.shared_down = "mlp.shared_expert.down_proj";
  names.shared_router = "mlp.shared_expert_gate";
  return names;
}

std::string numbered(std::string_view pattern, int64_t expert) {
  std::string name(pattern);
  const size_t at = name.find("{e}");
  if (at != std::string::npos) name.replace(at, 3, std::to_string(expert));
  return name;
}

class Matcher {
 public:
  Matcher(const ClassNames& names, const Config& config,
          const std::function<bool(const std::string&)>& has)
      : names_(names), model_(config.model), has_(has), d_(config.model.hidden_size) {}

  std::vector<TensorMatch> run(const std::vector<LayerLayout>& layers) {
    whole("embedding", weight(names_.embedding), {model_.vocab_size, d_});
    if (model_.position_embedding == PositionEmbedding::learned)
      whole("position", weight(names_.position), {model_.max_position_embeddings, d_});
    for (size_t i = 0; i < layers.size(); ++i) {
      at_ = concat(names_.layer, i, ".");
      attention(layers[i]);
      feed_forward(layers[i]);
    }
    at_.clear();
    norm("norm", names_.norm);
    if (!model_.tie_word_embeddings) whole("head", weight(names_.head), {model_.vocab_size, d_});
    return std::move(matches_);
  }

 private:
  std::string weight(std::string_view stem) const { return concat(at_, stem, ".weight"); }
  std::string bias(std::string_view stem) const { return concat(at_, stem, ".bias"); }

  void whole(const std::string& ours, const std::string& theirs,
             const std::vector<int64_t>& shape) {
    matches_.push_back({.ours = ours, .shape = shape, .parts = {{theirs, shape}}});
  }

  void norm(const std::string& ours, std::string_view theirs) {
    whole(ours + ".weight", weight(theirs), {d_});
    if (model_.norm == NormKind::layernorm && model_.norm_bias)
      whole(ours + ".bias", bias(theirs), {d_});
  }

  // Projections of `in` values whose rows stand one after another in ours.
  void projection(const std::string& ours, const std::vector<std::string_view>& theirs,
                  const std::vector<int64_t>& rows, int64_t in, bool has_bias, Fold fold,
                  int64_t heads = 0) {
    const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
    TensorMatch match{.ours = ours, .shape = {all, in}, .fold = fold, .heads = heads};
    TensorMatch biases{.ours = ours + "_bias",
                       .shape = {all},
                       .fold = fold == Fold::transposed ? Fold::rows : fold,
                       .heads = heads};
    for (size_t i = 0; i < theirs.size(); ++i) {
      const int64_t out = theirs.size() == 1 ? all : rows[i];
      const bool turned = fold == Fold::transposed;
      match.parts.push_back({weight(theirs[i]), turned ? std::vector<int64_t>{in, out}
                                                       : std::vector<int64_t>{out, in}});
      biases.parts.push_back({bias(theirs[i]), {out}});
    }
    matches_.push_back(std::move(match));
    if (has_bias) matches_.push_back(std::move(biases));
  }

  void attention(const LayerLayout& layer) {
    const AttentionConfig& a = *layer.attention;
    const int64_t heads = a.num_attention_heads,
                  pairs = a.num_key_value_heads > 0 ? a.num_key_value_heads : heads,
                  width = a.head_dim > 0 ? a.head_dim : d_ / heads;
    const std::string& ours = layer.attention_at;
    norm(ours + ".norm", names_.attention_norm);
    projection(ours + ".qkv", names_.qkv, {heads * width, pairs * width, pairs * width}, d_,
               a.qkv_bias, names_.attention_fold, heads);
    if (a.qk_norm != QkNorm::none) {
      const bool all = a.qk_norm == QkNorm::projection;
      whole(ours + ".query_norm", weight(names_.query_norm), {all ? heads * width : width});
      whole(ours + ".key_norm", weight(names_.key_norm), {all ? pairs * width : width});
    }
    // Heads are in order on this side, whatever they are on the other.
    const Fold fold = names_.attention_fold == Fold::heads ? Fold::rows : names_.attention_fold;
    projection(ours + ".output", {names_.output}, {d_}, heads * width, a.output_bias, fold);
  }

  int64_t width_of(const MlpConfig& mlp) const {
    return mlp.intermediate_size > 0 ? mlp.intermediate_size : 4 * d_;
  }

  void feed_forward(const LayerLayout& layer) {
    norm(layer.norm_at, names_.mlp_norm);
    if (!layer.experts) {
      one_mlp(layer.mlp_at, *layer.mlp, names_.up, names_.down);
      return;
    }
    experts(layer);
    if (!layer.shared) return;
    one_mlp(layer.shared_at, *layer.shared, names_.shared_up, names_.shared_down);
    matches_.push_back({.ours = layer.shared_router_at + ".weight",
                        .shape = {d_},
                        .parts = {{weight(names_.shared_router), {1, d_}}}});
  }

  void one_mlp(const std::string& ours, const MlpConfig& mlp,
               const std::vector<std::string_view>& up, std::string_view down) {
    const int64_t f = width_of(mlp);
    projection(ours + ".up", up, std::vector<int64_t>(up.size(), f), d_, mlp.bias, names_.mlp_fold);
    projection(ours + ".down", {down}, {d_}, f, mlp.bias, names_.mlp_fold);
  }

  void experts(const LayerLayout& layer) {
    const int64_t e = layer.experts->route.num_experts, f = width_of(*layer.mlp);
    std::string router = weight(names_.router.front());
    for (const std::string_view spelling : names_.router) {
      if (has_(weight(spelling))) router = weight(spelling);
    }
    whole(layer.router_at + ".weight", router, {e, d_});
    const ExpertNames* spelling = &names_.experts.front();
    for (const ExpertNames& one : names_.experts) {
      if (one.gate.empty() ? has_(concat(at_, one.gate_up_stacked))
                           : has_(weight(numbered(one.gate, 0))))
        spelling = &one;
    }
    TensorMatch up{.ours = layer.mlp_at + ".up", .shape = {e, 2 * f, d_}},
        down{.ours = layer.mlp_at + ".down", .shape = {e, d_, f}};
    if (spelling->gate.empty()) {
      up.parts.push_back({concat(at_, spelling->gate_up_stacked), up.shape});
      down.parts.push_back({concat(at_, spelling->down_stacked), down.shape});
    } else {
      for (int64_t i = 0; i < e; ++i) {
        up.parts.push_back({weight(numbered(spelling->gate, i)), {f, d_}});
        up.parts.push_back({weight(numbered(spelling->up, i)), {f, d_}});
        down.parts.push_back({weight(numbered(spelling->down, i)), {d_, f}});
      }
    }
    matches_.push_back(std::move(up));
    matches_.push_back(std::move(down));
  }

  const ClassNames& names_;
  const ModelConfig& model_;
  const std::function<bool(const std::string&)>& has_;
  int64_t d_;
  std::string at_;  // "layers.0."
  std::vector<TensorMatch> matches_;
};

}  // namespace

const std::vector<ClassNames>& all_classes() {
  static const std::vector<ClassNames> all = {
      gpt2(),
      llama_like("llama", "LlamaForCausalLM"),
      llama_like("mistral", "MistralForCausalLM"),
      llama_like("qwen2", "Qwen2ForCausalLM"),
      llama_like("qwen3", "Qwen3ForCausalLM"),
      gpt_neox(),
      mixtral(),
      qwen2_moe(),
      with_experts(llama_like("olmoe", "OlmoeForCausalLM"))};
  return all;
}

const ClassNames* class_named(std::string_view model_type) {
  for (const ClassNames& one : all_classes()) {
    if (one.model_type == model_type) return &one;
  }
  return nullptr;
}

std::vector<TensorMatch> tensor_matches(const ClassNames& names, const Config& config,
                                        const std::vector<LayerLayout>& layers,
                                        const std::function<bool(const std::string&)>& has) {
  return Matcher(names, config, has).run(layers);
}

}  // namespace pointwork
