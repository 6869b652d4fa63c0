// One file of weights, or shards with an index.

#include "pointwork/checkpoint/weight_files.h"

#include <gtest/gtest.h>

#include "tests/checkpoint/cases.h"
#include "tests/checkpoint/hugging_face_folders.h"

namespace pointwork::test {
namespace {

class WeightFilesTest : public ::testing::Test {
 protected:
  const TensorMap first_{{"a", normal({3, 4}, 1, torch::kFloat32)},
                         {"b", normal({5}, 2, torch::kBFloat16)}},
      second_{{"c", normal({2, 2}, 3, torch::kFloat64)}};
  const OrderedJson json_ = {{"model_type", "llama"}};
  TemporaryFolder folder_;
  const fs::path at_ = folder_ / "shards";

  std::string refusal() {
    return error_of([&] { WeightFiles files(at_); });
  }
  void index(const OrderedJson& places) {
    put_text(at_ / "model.safetensors.index.json", OrderedJson{{"weight_map", places}}.dump());
  }
};

TEST_F(WeightFilesTest, ShardsAreOneModel) {
  put_shards(at_, json_, {{"one.safetensors", first_}, {"two.safetensors", second_}});
  const WeightFiles files(at_);
  EXPECT_EQ(files.names(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(files.file_of("c"), "two.safetensors");
  EXPECT_EQ(files.bytes(), 3u * 4 * 4 + 5 * 2 + 4 * 8);
  for (const TensorMap& tensors : {first_, second_}) {
    for (const auto& [name, tensor] : tensors) EXPECT_TRUE(same_bits(files.view(name), tensor));
  }
  files.forget("a");
  EXPECT_TRUE(same_bits(files.view("a"), first_.at("a"))) << "it is read again";
  EXPECT_EQ(files.find("d"), nullptr);
}

TEST_F(WeightFilesTest, AnElementMayStandAnywhere) {
  put_folder(at_, json_, {{"a", torch::ones({3}, torch::kUInt8)}, {"b", normal({4}, 1)}});
  EXPECT_TRUE(same_bits(WeightFiles(at_).view("b"), normal({4}, 1)));
}

TEST_F(WeightFilesTest, AnIndexMustAgreeWithItsShards) {
  const auto shards = [&] {
    put_shards(at_, json_, {{"one.safetensors", first_}, {"two.safetensors", second_}});
  };
  shards();
  fs::remove(at_ / "two.safetensors");
  expect_in(refusal(), {"two.safetensors", "is missing"});
  shards();
  index({{"a", "one.safetensors"},
         {"b", "one.safetensors"},
         {"c", "two.safetensors"},
         {"d", "two.safetensors"}});
  expect_in(refusal(), {"tensor 'd' is in two.safetensors, but it is not"});
  index({{"a", "one.safetensors"}, {"c", "two.safetensors"}});
  expect_in(refusal(), {"tensor 'b' is in one.safetensors", "does not say so"});
  fs::remove(at_ / "two.safetensors");
  save_tensors(at_ / "two.safetensors", {{"c", first_.at("a")}, {"a", first_.at("a")}});
  index({{"a", "one.safetensors"}, {"b", "one.safetensors"}, {"c", "two.safetensors"}});
  expect_in(refusal(), {"tensor 'a' is in one.safetensors and in two.safetensors"});
  put_text(at_ / "model.safetensors.index.json",
           R"({"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}})");
  expect_in(refusal(), {"index.json", "'a' twice"});
  for (const char* bad : {"{}", "[]", R"({"weight_map": []})", R"({"weight_map": {}})", "{"}) {
    put_text(at_ / "model.safetensors.index.json", bad);
    expect_in(refusal(), {"model.safetensors.index.json"});
  }
  index({{"a", "../one.safetensors"}});
  expect_in(refusal(), {"'../one.safetensors'", "beside it"});
  index({{"a", 3}});
  expect_in(refusal(), {"must be text, found 3"});
}

TEST_F(WeightFilesTest, WhatHoldsNoWeightsIsNamed) {
  fs::create_directories(at_);
  expect_in(refusal(), {"has no weights: expected model.safetensors"});
  put_text(at_ / "pytorch_model.bin", "x");
  expect_in(refusal(), {"pytorch_model.bin, a pickle", "save_pretrained"});
  save_tensors(at_ / "model.safetensors", first_);
  EXPECT_EQ(refusal(), "");
  index({{"a", "model.safetensors"}, {"b", "model.safetensors"}});
  expect_in(refusal(), {"both"});
}

}  // namespace
}  // namespace pointwork::test
