#pragma once
// What a model is: the trunk, and the grammar of its branches.

#include <cmath>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pointwork/config/fields.h"
#include "pointwork/config/route_config.h"

namespace pointwork {

enum class NormKind { layernorm, rmsnorm };
template <>
struct EnumNames<NormKind> {
  static constexpr std::pair<const char*, NormKind> names[] = {{"layernorm", NormKind::layernorm},
                                                               {"rmsnorm", NormKind::rmsnorm}};
};

enum class PositionEmbedding { learned, none };
template <>
struct EnumNames<PositionEmbedding> {
  static constexpr std::pair<const char*, PositionEmbedding> names[] = {
      {"learned", PositionEmbedding::learned}, {"none", PositionEmbedding::none}};
};

enum class Initializer { gpt2, llama, switch_ };
template <>
struct EnumNames<Initializer> {
  static constexpr std::pair<const char*, Initializer> names[] = {
      {"gpt2", Initializer::gpt2}, {"llama", Initializer::llama}, {"switch", Initializer::switch_}};
};

enum class QkNorm { none, head, projection };
template <>
struct EnumNames<QkNorm> {
  static constexpr std::pair<const char*, QkNorm> names[] = {
      {"none", QkNorm::none}, {"head", QkNorm::head}, {"projection", QkNorm::projection}};
};

enum class Activation { gelu, gelu_tanh, relu, swiglu };
template <>
struct EnumNames<Activation> {
  static constexpr std::pair<const char*, Activation> names[] = {
      {"gelu", Activation::gelu},
      {"gelu_tanh", Activation::gelu_tanh},
      {"relu", Activation::relu},
      {"swiglu", Activation::swiglu}};
};

enum class RopeScalingKind { none, linear, llama3 };
template <>
struct EnumNames<RopeScalingKind> {
  static constexpr std::pair<const char*, RopeScalingKind> names[] = {
      {"none", RopeScalingKind::none},
      {"linear", RopeScalingKind::linear},
      {"llama3", RopeScalingKind::llama3}};
};

// Of a kind that is not taken the keys are unknown.
struct RopeScalingConfig {
  RopeScalingKind kind = RopeScalingKind::none;
  double factor = 8;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  int64_t original_max_position_embeddings = 8192;

  bool operator==(const RopeScalingConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("kind", self.kind,
          {.help = "none; linear: every frequency divided by factor; llama3: only low ones, with a "
                   "smooth passage between"});
    if (self.kind == RopeScalingKind::none) return;
    visit("factor", self.factor,
          {.help = "what low frequencies are divided by, so that positions reach that much further",
           .min = 0,
           .above_min = true});
    if (self.kind == RopeScalingKind::linear) return;
    visit("low_freq_factor", self.low_freq_factor,
          {.help = "frequencies that turn fewer times than this in "
                   "original_max_position_embeddings are divided in full",
           .min = 0,
           .above_min = true});
    visit("high_freq_factor", self.high_freq_factor,
          {.help = "frequencies that turn more often than this are left alone",
           .min = 0,
           .above_min = true});
    visit("original_max_position_embeddings", self.original_max_position_embeddings,
          {.help = "longest sequence the model was first trained for",
           .unit = "tokens",
           .min = 1,
           .max = 1 << 24});
  }
};

struct AttentionConfig {
  int64_t num_attention_heads = 4;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  double rope_theta = 0;
  RopeScalingConfig rope_scaling;
  double partial_rotary_factor = 1;
  double scale = 0;
  QkNorm qk_norm = QkNorm::none;
  bool qkv_bias = false;
  bool output_bias = false;
  bool output_norm = false;
  std::optional<ProjectionRouteConfig> projection_route;

  bool operator==(const AttentionConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("num_attention_heads", self.num_attention_heads,
          {.help = "query heads", .min = 1, .max = 4096});
    visit("num_key_value_heads", self.num_key_value_heads,
          {.help = "key-value heads, a divisor of the query heads: fewer make grouped-query "
                   "attention and a smaller cache; 0: as many as query heads",
           .min = 0,
           .max = 4096});
    visit("head_dim", self.head_dim,
          {.help = "width of a head; 0: hidden_size / num_attention_heads", .min = 0, .max = 4096});
    visit("rope_theta", self.rope_theta,
          {.help = "base of the rotary position embedding, 10000 in most models; 0: no rotation",
           .min = 0});
    visit("rope_scaling", self.rope_scaling,
          {.help = "how the rotary frequencies of a shorter model are stretched"});
    visit("partial_rotary_factor", self.partial_rotary_factor,
          {.help = "share of each head's width that is rotated, where rope_theta is above 0",
           .min = 0,
           .max = 1,
           .above_min = true});
    visit("scale", self.scale,
          {.help = "factor on query-key products; 0: 1 / sqrt(head_dim)", .min = 0});
    visit("qk_norm", self.qk_norm,
          {.help = "RMSNorm of queries and keys: in each head, or over the whole projection"});
    visit("qkv_bias", self.qkv_bias, {.help = "biases on the query, key and value projections"});
    visit("output_bias", self.output_bias, {.help = "a bias on the output projection"});
    visit("output_norm", self.output_norm, {.help = "a second norm on what the branch adds"});
    visit("projection_route", self.projection_route,
          {.help = "several sets of weights, norm included, among which each token chooses: every "
                   "token attends to every earlier one, whatever they chose (Mixture-of-Modules)"});
  }
};

// Leading values of a head of `head_dim` that rotary positions turn, in pairs.
inline int64_t rotary_width(const AttentionConfig& attention, int64_t head_dim) {
  if (attention.rope_theta <= 0) return 0;
  return std::llround(attention.partial_rotary_factor * static_cast<double>(head_dim));
}

struct MlpConfig {
  int64_t intermediate_size = 0;
  Activation hidden_act = Activation::gelu_tanh;
  bool bias = false;
  bool output_norm = false;
  double dropout = 0;

  bool operator==(const MlpConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("intermediate_size", self.intermediate_size,
          {.help = "width between the two projections; 0: 4 x hidden_size",
           .min = 0,
           .max = 1 << 20});
    visit(
        "hidden_act", self.hidden_act,
        {.help = "activation; gelu_tanh is GPT-2's form of gelu; swiglu has a third projection, so "
                 "half more weights at one width"});
    visit("bias", self.bias, {.help = "biases on the projections"});
    visit("output_norm", self.output_norm, {.help = "a second norm on what the branch adds"});
    visit("dropout", self.dropout,
          {.help = "share of the values between the projections that are 0 in training; of experts "
                   "it is their own (0.4 in Switch's fine-tuning)",
           .min = 0,
           .max = 1,
           .below_max = true});
  }
};

// Each child sees x + the sum of what came before it.
struct ChainConfig {
  std::vector<std::string> of;
  bool operator==(const ChainConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("of", self.of,
          {.help = "names of branches, applied one after another; a name given twice makes weights "
                   "of its own twice",
           .required = true});
  }
};

enum class ParallelNorm { inside, outside };
template <>
struct EnumNames<ParallelNorm> {
  static constexpr std::pair<const char*, ParallelNorm> names[] = {
      {"inside", ParallelNorm::inside}, {"outside", ParallelNorm::outside}};
};

// Every child sees x.
struct ParallelConfig {
  std::vector<std::string> of;
  ParallelNorm norm = ParallelNorm::inside;
  bool operator==(const ParallelConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("of", self.of,
          {.help = "names of branches, applied side by side to the same input", .required = true});
    visit(
        "norm", self.norm,
        {.help = "inside: each branch has its own norm; outside: they share one, and each must be "
                 "an attention, an mlp or a routed mlp"});
  }
};

struct RepeatConfig {
  std::string of;
  int64_t times = 2;
  bool operator==(const RepeatConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("of", self.of,
          {.help = "name of the branch, whose weights the rounds share", .required = true});
    visit("times", self.times, {.help = "rounds", .min = 1, .max = 4096});
  }
};

// Where the norm of a routed branch stands.
enum class RoutedNorm { automatic, inside, outside };
template <>
struct EnumNames<RoutedNorm> {
  static constexpr std::pair<const char*, RoutedNorm> names[] = {{"auto", RoutedNorm::automatic},
                                                                 {"inside", RoutedNorm::inside},
                                                                 {"outside", RoutedNorm::outside}};
};

struct RoutedConfig {
  std::string of;
  RoutedNorm norm = RoutedNorm::automatic;
  RouteConfig route;
  bool operator==(const RoutedConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("of", self.of, {.help = "name of the branch that chosen tokens enter", .required = true});
    visit(
        "norm", self.norm,
        {.help = "outside: router and branch read one normalised row; inside: the router reads the "
                 "stream, the branch its own norm, one for each expert; auto: outside where tokens "
                 "choose and the branch is an mlp. Only an mlp can have it outside"});
    visit("route", self.route,
          {.help = "which tokens enter, and how much of the result they take"});
  }
};

// [branch.NAME]: `kind` selects the alternative, by this order of names.
struct BranchConfig {
  std::variant<AttentionConfig, MlpConfig, ChainConfig, ParallelConfig, RepeatConfig, RoutedConfig>
      form;
  static constexpr const char* kinds[] = {"attention", "mlp",    "chain",
                                          "parallel",  "repeat", "routed"};
  static constexpr const char* abouts[] = {
      "causal attention behind a norm: multi-head, or grouped-query with fewer key-value heads",
      "a feed-forward network behind a norm, on each token alone",
      "branches one after another: each sees x and the sum of what came before it",
      "branches side by side: each sees x",
      "rounds of one branch with the same weights: each sees x and the sum of the rounds before it",
      "a branch that only chosen tokens enter; the others go round it"};
  const char* kind() const { return kinds[form.index()]; }
  const char* about() const { return abouts[form.index()]; }
  bool operator==(const BranchConfig&) const = default;
};

// model.layers: a list (the repeated part), or { first, repeat, last }. first + repeat, repeat, … +
// last fill num_hidden_layers; the last repetition is cut off where it does not fit.
struct LayersConfig {
  std::vector<std::string> first, repeat, last;
  bool operator==(const LayersConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("first", self.first, {.help = "branches of the first layers, once each"});
    visit("repeat", self.repeat,
          {.help = "branches of the layers between, repeated as often as needed"});
    visit("last", self.last, {.help = "branches of the last layers, once each"});
  }
};

struct ModelConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 256;
  int64_t num_hidden_layers = 4;
  int64_t max_position_embeddings = 256;
  LayersConfig layers;
  PositionEmbedding position_embedding = PositionEmbedding::learned;
  NormKind norm = NormKind::layernorm;
  double norm_eps = 1e-5;
  bool norm_bias = true;
  bool tie_word_embeddings = true;
  Initializer initializer = Initializer::gpt2;
  double initializer_range = 0.02;
  double initializer_scale = 0.1;

  bool operator==(const ModelConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("vocab_size", self.vocab_size,
          {.help = "rows of the embedding; 0: as many as the data set's tokenizer has",
           .unit = "tokens",
           .min = 0,
           .max = 1 << 24});
    visit("hidden_size", self.hidden_size,
          {.help = "width of the residual stream", .min = 1, .max = 1 << 16});
    visit("num_hidden_layers", self.num_hidden_layers,
          {.help = "layers; a repeat counts as one", .min = 1, .max = 4096});
    visit("max_position_embeddings", self.max_position_embeddings,
          {.help = "longest sequence the model is meant for; learned positions end there",
           .unit = "tokens",
           .min = 1,
           .max = 1 << 24});
    visit("layers", self.layers,
          {.help = "the branches of the layers, in order: a list that is repeated until "
                   "num_hidden_layers, or a table of first, repeat and last"});
    visit("position_embedding", self.position_embedding,
          {.help = "absolute positions added to the embedding; rotary ones belong to attention "
                   "(rope_theta)"});
    visit("norm", self.norm, {.help = "kind of every norm of the stream"});
    visit("norm_eps", self.norm_eps,
          {.help = "added to the variance, or the mean square, under a norm's root",
           .min = 0,
           .max = 1});
    visit("norm_bias", self.norm_bias, {.help = "a bias in every layernorm"});
    visit("tie_word_embeddings", self.tie_word_embeddings,
          {.help = "the head that makes logits is the embedding, transposed"});
    visit(
        "initializer", self.initializer,
        {.help = "gpt2: projections back to the stream start smaller, by 1 / sqrt(2 x layers); "
                 "llama: all weights start alike; switch: matrices of the layers from a truncated "
                 "normal of deviation sqrt(initializer_scale / inputs)"});
    visit(
        "initializer_range", self.initializer_range,
        {.help = "standard deviation of initial weights", .min = 0, .max = 10, .above_min = true});
    visit(
        "initializer_scale", self.initializer_scale,
        {.help = "s of initializer = switch: 0.1 trains stably where 1 does not (Switch, table 3)",
         .min = 0,
         .max = 10,
         .above_min = true});
  }
};

}  // namespace pointwork
