// Folders of Hugging Face's, opened and loaded: where each number of theirs stands in ours, and
// what is refused.

#include "pointwork/checkpoint/hugging_face.h"

#include <gtest/gtest.h>

#include "pointwork/checkpoint/checkpoint.h"
#include "tests/checkpoint/cases.h"
#include "tests/checkpoint/hugging_face_folders.h"

namespace pointwork::test {
namespace {

class HuggingFace : public ::testing::Test {
 protected:
  TensorMap loaded(const fs::path& at, torch::Dtype dtype = torch::kFloat32) {
    return weights_of(*load_model(open_checkpoint(at), torch::kCPU, dtype));
  }
  fs::path put(const OrderedJson& json, const TensorMap& tensors) {
    return put_folder(folder_ / "folder", json, tensors);
  }
  // With some of its tensors replaced, added, or (undefined) removed.
  std::string refusal(const std::string& type, const TensorMap& other,
                      const OrderedJson& keys = OrderedJson::object()) {
    OrderedJson json = class_json(type);
    TensorMap tensors = class_tensors(json);
    json.update(keys);
    for (const auto& [name, tensor] : other) {
      tensors.erase(name);
      if (tensor.defined()) tensors[name] = tensor;
    }
    put(json, tensors);
    return error_of([&] { open_checkpoint(folder_ / "folder"); });
  }

  TemporaryFolder folder_;
};

TEST_F(HuggingFace, EveryClassFillsItsModel) {
  for (const std::string& type : class_types()) {
    SCOPED_TRACE(type);
    const OrderedJson json = class_json(type);
    const TensorMap tensors = class_tensors(json);
    const fs::path at = put(json, tensors);
    const Checkpoint checkpoint = open_checkpoint(at);
    EXPECT_EQ(checkpoint.end_tokens, (std::vector<int32_t>{2, 5}));
    EXPECT_EQ(checkpoint.dtype, torch::kFloat32);
    EXPECT_EQ(checkpoint.carried["config"], json);
    double sum = 0, want = 0;  // every number arrives once
    for (const auto& [name, tensor] : tensors)
      want += tensor.to(torch::kFloat64).sum().item<double>();
    for (const auto& [name, tensor] : loaded(at, torch::kFloat64))
      sum += tensor.sum().item<double>();
    EXPECT_NEAR(sum, want, 1e-9 * static_cast<double>(tensors.size()) * 1e3);
  }
}

TEST_F(HuggingFace, LlamasRowsFollowOneAnother) {
  const OrderedJson json = class_json("llama");
  const TensorMap theirs = class_tensors(json), ours = loaded(put(json, theirs));
  const std::string layer = "model.layers.1.";
  EXPECT_TRUE(same_bits(ours.at("layers.1.attention.qkv"),
                        torch::cat({theirs.at(layer + "self_attn.q_proj.weight"),
                                    theirs.at(layer + "self_attn.k_proj.weight"),
                                    theirs.at(layer + "self_attn.v_proj.weight")})));
  EXPECT_TRUE(
      same_bits(ours.at("layers.1.mlp.up"), torch::cat({theirs.at(layer + "mlp.gate_proj.weight"),
                                                        theirs.at(layer + "mlp.up_proj.weight")})));
  EXPECT_TRUE(same_bits(ours.at("layers.1.mlp.norm.weight"),
                        theirs.at(layer + "post_attention_layernorm.weight")));
  EXPECT_TRUE(same_bits(ours.at("head"), theirs.at("lm_head.weight")));
}

TEST_F(HuggingFace, Gpt2IsTransposed) {
  const OrderedJson json = class_json("gpt2");
  const TensorMap theirs = class_tensors(json), ours = loaded(put(json, theirs));
  const std::string layer = "transformer.h.2.";
  EXPECT_TRUE(same_bits(ours.at("layers.2.attention.qkv"),
                        theirs.at(layer + "attn.c_attn.weight").t().contiguous()));
  EXPECT_TRUE(same_bits(ours.at("layers.2.mlp.down"),
                        theirs.at(layer + "mlp.c_proj.weight").t().contiguous()));
  EXPECT_TRUE(same_bits(ours.at("layers.2.mlp.up_bias"), theirs.at(layer + "mlp.c_fc.bias")));
}

TEST_F(HuggingFace, GptNeoxHasEachHeadTogether) {
  const OrderedJson json = class_json("gpt_neox");
  const TensorMap theirs = class_tensors(json), ours = loaded(put(json, theirs));
  const Tensor packed = theirs.at("gpt_neox.layers.0.attention.query_key_value.weight"),
               bias = theirs.at("gpt_neox.layers.0.attention.query_key_value.bias");
  for (int64_t part = 0; part < 3; ++part) {
    for (int64_t head = 0; head < 3; ++head) {
      const int64_t from = head * 12 + part * 4, to = part * 12 + head * 4;
      EXPECT_TRUE(ours.at("layers.0.attention.qkv")
                      .slice(0, to, to + 4)
                      .equal(packed.slice(0, from, from + 4)));
      EXPECT_TRUE(ours.at("layers.0.attention.qkv_bias")
                      .slice(0, to, to + 4)
                      .equal(bias.slice(0, from, from + 4)));
    }
  }
}

TEST_F(HuggingFace, ExpertsStandAloneOrStacked) {
  for (const std::string type : {"mixtral", "qwen2_moe", "olmoe"}) {
    SCOPED_TRACE(type);
    const OrderedJson json = class_json(type);
    const TensorMap theirs = class_tensors(json);
    const TensorMap want = loaded(put(json, theirs));
    TensorMap stacked;
    std::map<std::string, std::vector<Tensor>> up, down;  // by layer
    for (const auto& [name, tensor] : theirs) {
      const size_t layer_end = name.find('.', std::string("model.layers.").size()) + 1;
      const std::string layer = name.substr(0, layer_end);
      if (name.find(".experts.") == std::string::npos) {
        std::string plain = name;
        if (const size_t at = name.find("block_sparse_moe."); at != std::string::npos)
          plain.replace(at, 17, "mlp.");
        stacked[plain] = tensor;
      } else if (name.ends_with("w2.weight") || name.ends_with("down_proj.weight")) {
        down[layer].push_back(tensor);  // names ascend by expert
      } else if (name.ends_with("w1.weight") || name.ends_with("gate_proj.weight")) {
        std::string other = name;
        const bool short_name = name.ends_with("w1.weight");
        other.replace(other.rfind(short_name ? "w1" : "gate_proj"), short_name ? 2 : 9,
                      short_name ? "w3" : "up_proj");
        up[layer].push_back(torch::cat({tensor, theirs.at(other)}));
      }
    }
    for (const auto& [layer, tensors] : up)
      stacked[layer + "mlp.experts.gate_up_proj"] = torch::stack(tensors);
    for (const auto& [layer, tensors] : down)
      stacked[layer + "mlp.experts.down_proj"] = torch::stack(tensors);
    EXPECT_LT(stacked.size(), theirs.size());
    expect_same_bits(loaded(put(json, stacked)), want);
  }
}

TEST_F(HuggingFace, APrefixMayBeAbsent) {
  for (const std::string& type : class_types()) {
    SCOPED_TRACE(type);
    const OrderedJson json = class_json(type);
    const TensorMap theirs = class_tensors(json);
    const TensorMap want = loaded(put(json, theirs));
    TensorMap bare;
    const std::string prefix(class_named(type)->prefix);
    for (const auto& [name, tensor] : theirs)
      bare[name.starts_with(prefix) ? name.substr(prefix.size()) : name] = tensor;
    expect_same_bits(loaded(put(json, bare)), want);
  }
  expect_in(refusal("llama", {{"norm.weight", normal({12}, 1, torch::kFloat32)}}),
            {"'model.norm.weight'", "'norm.weight'", "either may be meant"});
}

TEST_F(HuggingFace, ATiedHeadIsAbsentOrTheSame) {
  OrderedJson json = class_json("llama");
  json["tie_word_embeddings"] = true;
  TensorMap tensors = class_tensors(json);
  ASSERT_FALSE(tensors.count("lm_head.weight"));
  const TensorMap want = loaded(put(json, tensors));
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"];
  expect_same_bits(loaded(put(json, tensors)), want);
  tensors.erase("model.embed_tokens.weight");  // a file may keep either name of what is shared
  expect_same_bits(loaded(put(json, tensors)), want);
  tensors = class_tensors(json);
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + 1;
  put(json, tensors);
  expect_in(error_of([&] { open_checkpoint(folder_ / "folder"); }),
            {"tie_word_embeddings is true", "'lm_head.weight'", "differ"});
  expect_in(refusal("llama", {{"lm_head.weight", Tensor()}}),
            {"'lm_head.weight' is missing", "tie_word_embeddings is false"});
}

TEST_F(HuggingFace, WhatIsComputedIsNoWeight) {
  const Tensor mask = torch::ones({1, 1, 24, 24}, torch::kBool), one = torch::ones({3});
  EXPECT_EQ(refusal("gpt2", {{"transformer.h.0.attn.bias", mask},
                             {"transformer.h.0.attn.masked_bias", one}}),
            "");
  EXPECT_EQ(refusal("llama", {{"model.layers.0.self_attn.rotary_emb.inv_freq", one}}), "");
  EXPECT_EQ(refusal("gpt_neox", {{"gpt_neox.layers.0.attention.bias", mask},
                                 {"gpt_neox.layers.0.attention.rotary_emb.inv_freq", one}}),
            "");
}

TEST_F(HuggingFace, WhatDoesNotFitIsNamed) {
  const auto of = [](std::vector<int64_t> shape) { return torch::zeros(shape); };
  expect_in(refusal("llama", {{"model.layers.1.mlp.up_proj.weight", of({20, 13})}}),
            {"'model.layers.1.mlp.up_proj.weight' must be [20, 12]", "is [20, 13]"});
  expect_in(refusal("llama", {{"model.layers.1.mlp.up_proj.weight", Tensor()}}),
            {"'layers.1.mlp.up_proj.weight' is missing", "[20, 12]"});
  expect_in(refusal("llama", {}, {{"intermediate_size", 21}}), {"must be [21, 12]", "is [20, 12]"});
  expect_in(refusal("llama", {}, {{"num_hidden_layers", 2}}),
            {"'model.layers.2.", "has no place in a llama"});
  expect_in(refusal("qwen2", {{"score.weight", of({2, 12})}}), {"'score.weight'", "no place"});
  expect_in(refusal("llama", {{"model.norm.weight", torch::ones({12}, torch::kInt8)}}),
            {"'model.norm.weight' is I8", "expected F64, F32, BF16 or F16"});
}

TEST_F(HuggingFace, TheWidestDtypeHoldsAll) {
  const OrderedJson json = class_json("mixtral");
  const auto dtype_with = [&](torch::Dtype most, const std::string& name, torch::Dtype one) {
    TensorMap tensors = class_tensors(json, most);
    if (!name.empty()) tensors[name] = tensors[name].to(one);
    return open_checkpoint(put(json, tensors)).dtype;
  };
  EXPECT_EQ(dtype_with(torch::kBFloat16, "", torch::kFloat32), torch::kBFloat16);
  EXPECT_EQ(dtype_with(torch::kFloat64, "", torch::kFloat32), torch::kFloat64);
  EXPECT_EQ(dtype_with(torch::kFloat16, "", torch::kFloat32), torch::kFloat32);
  EXPECT_EQ(dtype_with(torch::kBFloat16, "model.norm.weight", torch::kFloat32), torch::kFloat32);
  EXPECT_EQ(
      dtype_with(torch::kBFloat16, "model.layers.0.block_sparse_moe.gate.weight", torch::kFloat32),
      torch::kBFloat16)
      << "a router is float32 in any case";
}

}  // namespace
}  // namespace pointwork::test
