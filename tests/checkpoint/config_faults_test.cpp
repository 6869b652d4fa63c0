// Settings of others that cannot be, or that contradict the tensors beside
// them.

#include "tests/checkpoint/faults.h"

namespace pointwork::test {
namespace {

std::string nested_json(size_t deep) {
  return "{\"model_type\":\"llama\",\"x\":" + std::string(deep, '[') + std::string(deep, ']') + "}";
}

std::vector<Fault> config_faults() {
  const std::string file = "config.json", llama = "llama_grouped";
  std::vector<Fault> all = {
      with_file("empty", file, "", {file}),
      with_file("no JSON", file, "model_type = llama", {file, "not valid JSON"}),
      with_file("cut off", file, "{\"model_type\": \"lla", {file, "not valid JSON"}),
      with_file("a NUL at the end", file, std::string("{\"model_type\":\"llama\"}\0{}", 25),
                {file, "not valid JSON"}),
      with_file("no UTF-8", file, "{\"model_type\": \"\xFF\"}", {file, "not valid JSON"}),
      with_file("a list", file, "[]", {file}),
      with_file("a number", file, "4", {file}),
      with_file("a million deep", file, nested_json(1'000'000), {file, "deep"}),
      with_file("a key twice", file, "{\"model_type\":\"llama\",\"model_type\":\"gpt2\"}",
                {file, "model_type", "twice"}),
      with_file("nothing in it", file, "{}", {file, "model_type"}),
      with_config("no class", llama, {{"model_type", nullptr}}, {file, "model_type"}),
      with_config("a class in numbers", llama, {{"model_type", 4}}, {file, "model_type"}),
      with_config("another class", llama, {{"model_type", "bert"}}, {"bert"}),
      with_config("T5, which is no decoder", llama, {{"model_type", "t5"}}, {"t5"}),
      with_config("an unknown key that is on", llama, {{"attention_sink", true}},
                  {"attention_sink"}),
      with_config("a rounded normaliser", llama, {{"logit_softcapping", 30.0}},
                  {"logit_softcapping"}),
      with_config("quantised", llama, {{"quantization_config", {{"bits", 4}}}},
                  {"quantization_config"}),
      with_config("an unknown activation", llama, {{"hidden_act", "mish"}}, {"hidden_act", "mish"}),
      with_config("an activation of another class", "gpt2", {{"activation_function", "silu"}},
                  {"activation_function", "silu"}),
      with_config("a flag in words", llama, {{"tie_word_embeddings", "yes"}},
                  {"tie_word_embeddings", "yes"}),
      with_config("a norm of eps -1", llama, {{"rms_norm_eps", -1}}, {"norm_eps", "-1"}),
      with_config("a norm in words", llama, {{"rms_norm_eps", "small"}}, {"rms_norm_eps", "small"}),
      with_config("heads that do not divide", llama, {{"num_key_value_heads", 4}},
                  {"num_key_value_heads", "4"}),
      with_config("heads of odd width", llama, {{"head_dim", 7}}, {"head_dim", "7"}),
      with_config("no theta", llama, {{"rope_parameters", {{"rope_theta", -1.0}}}}, {"rope_theta"}),
      with_config("positions by yarn", llama,
                  {{"rope_parameters", {{"rope_type", "yarn"}, {"factor", 4.0}}}}, {"yarn"}),
      with_config("positions that change with the length", llama,
                  {{"rope_parameters", {{"rope_type", "dynamic"}, {"factor", 4.0}}}}, {"dynamic"}),
      with_config("positions divided by 0", "llama_linear", {{"rope_parameters", {{"factor", 0}}}},
                  {"factor"}),
      with_config("positions not divided", "llama_linear",
                  {{"rope_parameters", {{"factor", nullptr}}}}, {"factor"}),
      with_config("llama3 without its bounds", "llama_llama3",
                  {{"rope_parameters", {{"low_freq_factor", nullptr}}}}, {"low_freq_factor"}),
      with_config("bounds the other way round", "llama_llama3",
                  {{"rope_parameters", {{"low_freq_factor", 8.0}}}}, {"low_freq_factor"}),
      with_config("positions scaled in words", "llama_older", {{"rope_scaling", "linear"}},
                  {"rope_scaling"}),
      with_config("a share of heads above 1", "gpt_neox_parallel",
                  {{"rope_parameters", {{"partial_rotary_factor", 1.5}}}},
                  {"partial_rotary_factor", "1.5"}),
      with_config("a window", "mistral", {{"sliding_window", 16}}, {"sliding_window", "16"}),
      with_config("a window of some layers", "qwen2",
                  {{"use_sliding_window", true},
                   {"sliding_window", 8},
                   {"max_window_layers", 1},
                   {"layer_types", nullptr}},
                  {"sliding_window"}),
      with_config("a window of one layer", "qwen3",
                  {{"use_sliding_window", true},
                   {"sliding_window", 8},
                   {"layer_types", {"full_attention", "sliding_attention"}}},
                  {"sliding_"}),
      with_config("clipped projections", "olmoe", {{"clip_qkv", 8.0}}, {"clip_qkv"}),
      with_config("scaled by layer", "gpt2", {{"scale_attn_by_inverse_layer_idx", true}},
                  {"scale_attn_by_inverse_layer_idx"}),
      with_config("reads an encoder", "gpt2", {{"add_cross_attention", true}},
                  {"add_cross_attention"}),
      with_config("more chosen than there are", "qwen2_moe", {{"num_experts_per_tok", 6}},
                  {"6", "5"}),
      with_config("none chosen", "mixtral", {{"num_experts_per_tok", 0}}, {"num_experts_per_tok"}),
      with_config("experts every 0 layers", "qwen2_moe", {{"decoder_sparse_step", 0}},
                  {"decoder_sparse_step"}),
      with_config("a layer there is not", "qwen2_moe_some", {{"mlp_only_layers", {9}}},
                  {"mlp_only_layers", "9"}),
  };
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "max_position_embeddings"}) {
    const std::string named = key;
    all.push_back(with_config(named + " missing", llama, {{key, nullptr}}, {key}));
    all.push_back(with_config(named + " 0", llama, {{key, 0}}, {key, "0"}));
    all.push_back(with_config(named + " -1", llama, {{key, -1}}, {key, "-1"}));
    all.push_back(with_config(named + " with a point", llama, {{key, 2.5}}, {key, "2.5"}));
    all.push_back(with_config(named + " in quotes", llama, {{key, "18"}}, {key, "18"}));
    all.push_back(with_config(named + " of 2^63", llama, {{key, 9223372036854775808u}}, {key}));
    all.push_back(with_config(named + " of 1e300", llama, {{key, 1e300}}, {key}));
  }
  return all;
}

// Sizes that each make a model, but not this one.
std::vector<Fault> size_faults() {
  return {
      with_config("another vocabulary", "llama_grouped", {{"vocab_size", 42}}, {"embed_tokens"}),
      with_config("16 million tokens", "llama_grouped", {{"vocab_size", 1 << 24}},
                  {"embed_tokens", "16777216"}),
      with_config("another width", "llama_grouped", {{"hidden_size", 24}}, {"18", "24"}),
      with_config("a width of 65536", "llama_grouped", {{"hidden_size", 49152}}, {"49152"}),
      with_config("an mlp of a million", "llama_grouped", {{"intermediate_size", 1 << 20}},
                  {"mlp", "1048576"}),
      with_config("one layer more", "llama_grouped", {{"num_hidden_layers", 3}}, {"layers.2."}),
      with_config("4096 layers", "llama_grouped", {{"num_hidden_layers", 4096}}, {"layers.2."}),
      with_config("one layer fewer", "llama_grouped", {{"num_hidden_layers", 1}}, {"layers.1."}),
      with_config("other heads", "llama_grouped",
                  {{"num_attention_heads", 9}, {"num_key_value_heads", 3}}, {"self_attn"}),
      with_config("other groups", "llama_grouped", {{"num_key_value_heads", 3}}, {"_proj"}),
      with_config("heads of another width", "llama_grouped", {{"head_dim", 10}}, {"_proj"}),
      with_config("biases that are not there", "llama_grouped", {{"attention_bias", true}},
                  {"bias"}),
      with_config("biases that are there", "llama_biases", {{"mlp_bias", false}}, {"mlp", "bias"}),
      with_config("a head of its own that is not there", "llama_tied",
                  {{"tie_word_embeddings", false}}, {"lm_head"}),
      with_config("tied, with another head", "llama_grouped", {{"tie_word_embeddings", true}},
                  {"lm_head"}),
      with_config("one expert more", "mixtral", {{"num_local_experts", 6}},
                  {"gate.weight", "[6, 16]"}),
      with_config("one expert fewer", "mixtral", {{"num_local_experts", 4}}, {"expert"}),
      with_config("experts of another width", "qwen2_moe_stacked", {{"moe_intermediate_size", 8}},
                  {"expert"}),
      with_config("layers without experts", "qwen2_moe", {{"mlp_only_layers", {0}}},
                  {"layers.0.mlp"}),
      with_config("fewer positions than there are", "gpt2", {{"n_positions", 28}}, {"wpe"}),
      with_config("more positions than there are", "gpt2", {{"n_positions", 1 << 20}}, {"wpe"}),
  };
}

TEST(ConfigFaults, UndamagedNothingIsRefused) {
  for (const char* name : {"llama_grouped", "llama_sharded", "mixtral", "gpt2"}) {
    EXPECT_EQ(cost_of([&] { open_checkpoint(kCases / name); }).error, "");
  }
}

TEST(ConfigFaults, OfSettingsAreRefused) { expect_all_refused(config_faults()); }

TEST(ConfigFaults, OfSizesThatContradictTensorsAreRefused) { expect_all_refused(size_faults()); }

}  // namespace
}  // namespace pointwork::test
