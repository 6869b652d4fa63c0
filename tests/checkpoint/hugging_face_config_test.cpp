// config.json of each class, read into the grammar and said again.

#include "pointwork/checkpoint/hugging_face_config.h"

#include <gtest/gtest.h>

#include "pointwork/checkpoint/layout.h"
#include "tests/checkpoint/cases.h"
#include "tests/checkpoint/hugging_face_folders.h"

namespace pointwork::test {
namespace {

Config read(const std::string& type, const OrderedJson& keys = OrderedJson::object()) {
  OrderedJson json = class_json(type);
  json.update(keys);
  return config_of(json, "config.json");
}

std::string refusal(const std::string& type, const OrderedJson& keys) {
  return error_of([&] { read(type, keys); });
}

const AttentionConfig& attention_of(const Config& config) {
  return std::get<AttentionConfig>(config.branch.at("attention").form);
}
const MlpConfig& mlp_of(const Config& config, const std::string& name = "mlp") {
  return std::get<MlpConfig>(config.branch.at(name).form);
}
const RouteConfig& route_of(const Config& config, const std::string& name = "experts") {
  return std::get<RoutedConfig>(config.branch.at(name).form).route;
}

TEST(HuggingFaceConfig, EveryClassIsSaidAgain) {
  for (const std::string& type : class_types()) {
    SCOPED_TRACE(type);
    const Config config = read(type);
    EXPECT_EQ(problems(config), std::vector<std::string>());
    const auto again = hugging_face_config(type, config);
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ((*again)["model_type"], type);
    EXPECT_TRUE(same_computation(config_of(*again, "again"), config));
  }
}

TEST(HuggingFaceConfig, ReadsWhatTheClassesDifferIn) {
  const Config gpt2 = read("gpt2");
  EXPECT_EQ(gpt2.model.position_embedding, PositionEmbedding::learned);
  EXPECT_TRUE(gpt2.model.tie_word_embeddings);
  EXPECT_TRUE(attention_of(gpt2).output_bias && mlp_of(gpt2).bias);
  EXPECT_EQ(mlp_of(gpt2).hidden_act, Activation::gelu_tanh);
  EXPECT_EQ(mlp_of(read("gpt2", {{"n_inner", nullptr}})).intermediate_size, 48);
  EXPECT_EQ(attention_of(read("gpt2", {{"scale_attn_weights", false}})).scale, 1);
  EXPECT_EQ(mlp_of(read("gpt2", {{"activation_function", "relu"}})).hidden_act, Activation::relu);

  const Config llama = read("llama", {{"attention_bias", true}, {"mlp_bias", true}});
  EXPECT_TRUE(attention_of(llama).qkv_bias && attention_of(llama).output_bias);
  EXPECT_TRUE(mlp_of(llama).bias);
  EXPECT_EQ(attention_of(llama).num_key_value_heads, 2);
  EXPECT_EQ(attention_of(llama).head_dim, 6);
  EXPECT_EQ(attention_of(llama).rope_theta, 5000);
  EXPECT_FALSE(llama.model.tie_word_embeddings);
  EXPECT_EQ(attention_of(read("llama", {{"num_key_value_heads", nullptr}})).num_key_value_heads, 4);

  const Config qwen2 = read("qwen2");
  EXPECT_TRUE(attention_of(qwen2).qkv_bias && !attention_of(qwen2).output_bias);
  EXPECT_EQ(attention_of(read("qwen3")).qk_norm, QkNorm::head);
  EXPECT_EQ(attention_of(read("olmoe")).qk_norm, QkNorm::projection);
  EXPECT_EQ(read("olmoe", {{"rms_norm_eps", nullptr}}).model.norm_eps, 1e-5);

  const Config neox = read("gpt_neox");
  EXPECT_EQ(neox.branch.at("dense").form.index(), read("gpt_neox").branch.at("dense").form.index());
  EXPECT_STREQ(neox.branch.at("dense").kind(), "parallel");
  EXPECT_STREQ(read("gpt_neox", {{"use_parallel_residual", false}}).branch.at("dense").kind(),
               "chain");
  EXPECT_EQ(rotary_width(attention_of(neox), 4), 2);
  EXPECT_FALSE(attention_of(read("gpt_neox", {{"attention_bias", false}})).qkv_bias);

  EXPECT_EQ(route_of(read("mixtral")).weight, RouterWeight::renormalised);
  EXPECT_EQ(route_of(read("mixtral", {{"num_experts_per_tok", 1}})).weight, RouterWeight::none);
  EXPECT_EQ(route_of(read("olmoe")).weight, RouterWeight::raw);
  EXPECT_TRUE(route_of(read("olmoe")).dropless);
  EXPECT_EQ(attention_of(read("mixtral", {{"rope_theta", nullptr}})).rope_theta, 1e6);

  const Config moe = read("qwen2_moe");
  EXPECT_EQ(layer_names(moe.model), (std::vector<std::string>{"moe", "dense", "moe"}));
  EXPECT_EQ(mlp_of(moe, "expert").intermediate_size, 8);
  EXPECT_EQ(mlp_of(moe, "shared_expert").intermediate_size, 14);
  EXPECT_EQ(route_of(moe, "shared").weight, RouterWeight::sigmoid);
  EXPECT_EQ(layer_names(read("qwen2_moe", {{"decoder_sparse_step", 2},
                                           {"mlp_only_layers", OrderedJson::array()}})
                            .model),
            (std::vector<std::string>{"dense", "moe", "dense"}));
}

TEST(HuggingFaceConfig, ReadsRotationInBothSpellings) {
  const OrderedJson scaling = {{"rope_type", "llama3"},
                               {"factor", 8.0},
                               {"low_freq_factor", 1.0},
                               {"high_freq_factor", 4.0},
                               {"original_max_position_embeddings", 16}};
  OrderedJson fresh = scaling;
  fresh["rope_theta"] = 700.0;
  for (const OrderedJson& keys :
       {OrderedJson{{"rope_theta", 700.0}, {"rope_scaling", scaling}},
        OrderedJson{{"rope_theta", nullptr}, {"rope_parameters", fresh}}}) {
    const AttentionConfig a = attention_of(read("llama", keys));
    EXPECT_EQ(a.rope_theta, 700);
    EXPECT_EQ(a.rope_scaling.kind, RopeScalingKind::llama3);
    EXPECT_EQ(a.rope_scaling.original_max_position_embeddings, 16);
  }
  const AttentionConfig linear =
      attention_of(read("llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}));
  EXPECT_EQ(linear.rope_scaling.kind, RopeScalingKind::linear);
  EXPECT_EQ(linear.rope_scaling.factor, 2);
  EXPECT_EQ(attention_of(read("gpt_neox", {{"rope_theta", nullptr}, {"rotary_emb_base", 300}}))
                .rope_theta,
            300);
  EXPECT_EQ(
      attention_of(
          read("gpt_neox",
               {{"rope_theta", nullptr},
                {"rope_parameters",
                 {{"rope_type", "default"}, {"rope_theta", 300.0}, {"partial_rotary_factor", 1.0}}},
                {"rotary_pct", nullptr}}))
          .partial_rotary_factor,
      1);
  expect_in(refusal("llama", {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}}}),
            {"rope_scaling: rope_type must be default, linear or llama3", "\"yarn\""});
  expect_in(refusal("llama", {{"rope_scaling", {{"type", "linear"}}}}),
            {"factor must be a number", "no such key"});
  expect_in(
      refusal("llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}, {"alpha", 1}}}}),
      {"rope_scaling: alpha"});
  expect_in(refusal("llama", {{"rope_parameters", {{"rope_theta", 10.0}}}}),
            {"rope_theta must be rope_theta beside it", "10.0"});
  expect_in(refusal("llama", {{"partial_rotary_factor", 0.5}}),
            {"partial_rotary_factor must be 1"});
}

TEST(HuggingFaceConfig, RefusesByNameWhatItCannotSay) {
  const auto refused = [](const std::string& type, const OrderedJson& keys,
                          const std::vector<std::string>& parts) {
    SCOPED_TRACE(type + " " + keys.dump());
    expect_in(refusal(type, keys), parts);
  };
  refused("llama", {{"model_type", "bert"}},
          {"config.json: model_type must be one of gpt2, llama, mistral", "\"bert\""});
  refused("llama", {{"hidden_act", "gelu"}}, {"hidden_act must be silu", "\"gelu\""});
  refused("gpt2", {{"activation_function", "silu"}}, {"activation_function must be gelu"});
  refused("gpt2", {{"scale_attn_by_inverse_layer_idx", true}},
          {"scale_attn_by_inverse_layer_idx must be false"});
  refused("gpt2", {{"add_cross_attention", true}}, {"the key add_cross_attention"});
  refused("mistral", {{"sliding_window", 23}},
          {"sliding_window must be null or at least max_position_embeddings, 24"});
  refused("mixtral", {{"sliding_window", 4}}, {"sliding_window"});
  refused("qwen2", {{"use_sliding_window", true}, {"sliding_window", 4}, {"max_window_layers", 1}},
          {"sliding_window"});
  refused("olmoe", {{"clip_qkv", 8.0}}, {"clip_qkv must be null, found 8.0"});
  refused("olmoe", {{"head_dim", 6}},
          {"head_dim must be hidden_size / num_attention_heads", "2, found 6"});
  refused("qwen2_moe", {{"mlp_only_layers", {3}}}, {"mlp_only_layers must be of layers 0 .. 2"});
  refused("mixtral", {{"num_local_experts", 1}}, {"num_local_experts must be at least 2"});
  refused("llama", {{"quantization_config", {{"bits", 4}}}},
          {"the key quantization_config is not known"});
  refused("llama", {{"attention_multiplier", 0.5}}, {"the key attention_multiplier"});
  refused("llama", {{"hidden_size", "x"}},
          {"hidden_size must be a whole number of at least 1, found \"x\""});
  refused("llama", {{"hidden_size", nullptr}}, {"hidden_size must be"});
  refused("llama", {{"num_key_value_heads", 3}},
          {"num_key_value_heads is 3, which does not divide"});
  refused("qwen3", {{"num_key_value_heads", nullptr}}, {"num_key_value_heads must be given"});
  refused("llama", {{"tie_word_embeddings", 1}},
          {"tie_word_embeddings must be true or false, found 1"});
  refused("llama", {{"hidden_size", -12}}, {"hidden_size must be"});
  refused("llama", {{"vocab_size", 1e30}}, {"vocab_size must be"});
}

TEST(HuggingFaceConfig, CarriesWhatChangesNothing) {
  for (const OrderedJson& keys :
       {OrderedJson{{"_name_or_path", "x"}}, OrderedJson{{"eos_token_id", {1, 2}}},
        OrderedJson{{"some_new_key", false}}, OrderedJson{{"some_new_key", nullptr}},
        OrderedJson{{"attention_dropout", 0.1}}, OrderedJson{{"pretraining_tp", 2}}})
    EXPECT_EQ(refusal("llama", keys), "") << keys.dump();
  EXPECT_EQ(refusal("mistral", {{"sliding_window", 24}}), "");
  EXPECT_EQ(refusal("qwen2", {{"use_sliding_window", false}, {"sliding_window", 4}}), "");
  EXPECT_EQ(
      refusal("qwen2",
              {{"use_sliding_window", true}, {"sliding_window", 4}, {"max_window_layers", 3}}),
      "");
}

TEST(HuggingFaceConfig, OnlyWhatAClassComputesIsItsOwn) {
  const auto said = [](const Config& config) {
    const auto json = hugging_face_config(config);
    return json ? (*json)["model_type"].get<std::string>() : "none";
  };
  Config config = read("llama");
  EXPECT_EQ(said(config), "llama");
  attention_of(config);
  const auto with = [&](const auto& change) {
    Config other = config;
    change(other);
    return said(other);
  };
  const auto attention = [](Config& c) -> AttentionConfig& {
    return std::get<AttentionConfig>(c.branch["attention"].form);
  };
  EXPECT_EQ(with([&](Config& c) { attention(c).qkv_bias = true; }), "qwen2");
  EXPECT_EQ(with([&](Config& c) { attention(c).qk_norm = QkNorm::head; }), "qwen3");
  EXPECT_EQ(with([&](Config& c) { attention(c).qk_norm = QkNorm::projection; }), "none");
  EXPECT_EQ(with([&](Config& c) { attention(c).partial_rotary_factor = 0.5; }), "none");
  EXPECT_EQ(with([&](Config& c) { attention(c).scale = 0.3; }), "none");
  EXPECT_EQ(with([&](Config& c) { attention(c).output_norm = true; }), "none");
  EXPECT_EQ(with([&](Config& c) { c.model.norm = NormKind::layernorm; }), "none");
  EXPECT_EQ(with([&](Config& c) { c.model.position_embedding = PositionEmbedding::learned; }),
            "none");
  EXPECT_EQ(with([&](Config& c) { c.model.tie_word_embeddings = true; }), "llama");
  EXPECT_EQ(with([&](Config& c) { c.train.steps = 7; }), "llama") << "training is no part of it";

  config = read("mixtral");
  const auto route = [](Config& c) -> RouteConfig& {
    return std::get<RoutedConfig>(c.branch["experts"].form).route;
  };
  EXPECT_EQ(said(config), "mixtral");
  EXPECT_EQ(with([&](Config& c) { route(c).dropless = false; }), "mixtral")
      << "inference is dropless";
  EXPECT_EQ(with([&](Config& c) { route(c).num_noop = 1; }), "none");
  EXPECT_EQ(with([&](Config& c) { route(c).score = RouterScore::sigmoid; }), "none");
  EXPECT_EQ(with([&](Config& c) { route(c).routed_scaling_factor = 2; }), "none");
  EXPECT_EQ(with([&](Config& c) { route(c).balance.bias_rate = 0.1; }), "none");
}

}  // namespace
}  // namespace pointwork::test
