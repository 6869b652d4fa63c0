// Models from one layout into the other and back.

#include "pointwork/checkpoint/exchange.h"

#include <gtest/gtest.h>

#include "pointwork/checkpoint/outgoing.h"
#include "tests/checkpoint/cases.h"
#include "tests/checkpoint/hugging_face_folders.h"

namespace pointwork::test {
namespace {

class Exchange : public ::testing::Test {
 protected:
  ExchangeResult to(ModelFormat format, const fs::path& from, const std::string& name,
                    ExchangeOptions options = {}) {
    options.format = format;
    return exchange(open_checkpoint(from), folder_ / name, options);
  }
  fs::path model_of(const std::string& type, torch::Dtype dtype = torch::kFloat32) {
    const OrderedJson json = class_json(type);
    return put_folder(folder_ / type, json, class_tensors(json, dtype));
  }
  static std::map<std::string, std::string> files_of(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file())
        files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
    }
    return files;
  }
  static TensorMap tensors_in(const fs::path& folder) {
    const WeightFiles files(folder);
    TensorMap tensors;
    for (const std::string& name : files.names()) tensors[name] = files.view(name).clone();
    return tensors;
  }

  TemporaryFolder folder_;
};

TEST_F(Exchange, TheirsComesBackAsItWas) {
  for (const std::string& type : class_types()) {
    for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16, torch::kFloat64}) {
      SCOPED_TRACE(type + " " + torch::toString(dtype));
      const fs::path theirs = model_of(type, dtype);
      fs::remove_all(folder_ / "ours");
      fs::remove_all(folder_ / "back");
      EXPECT_EQ(to(ModelFormat::pointwork, theirs, "ours").model_type, "pointwork");
      const Checkpoint ours = open_checkpoint(folder_ / "ours");
      EXPECT_EQ(ours.foreign, nullptr);
      EXPECT_EQ(ours.dtype, dtype);
      EXPECT_EQ(ours.end_tokens, (std::vector<int32_t>{2, 5}));
      expect_same_bits(weights_of(*load_model(ours, torch::kCPU)),
                       weights_of(*load_model(open_checkpoint(theirs), torch::kCPU)));
      EXPECT_EQ(to(ModelFormat::hugging_face, folder_ / "ours", "back").model_type, type);
      expect_same_bits(tensors_in(folder_ / "back"), tensors_in(theirs));
      OrderedJson want = class_json(type);
      if (dtype != torch::kFloat32)
        want["torch_dtype"] = dtype == torch::kBFloat16 ? "bfloat16" : "float64";
      EXPECT_EQ(parse_object(read_file(folder_ / "back" / "config.json"), "back"), want);
      EXPECT_EQ(read_file(folder_ / "back" / "generation_config.json"),
                read_file(theirs / "generation_config.json"));
      EXPECT_FALSE(fs::exists(folder_ / "back" / "pointwork.toml"));
    }
  }
}

TEST_F(Exchange, TrainedOnItIsStillOfItsClass) {
  const fs::path theirs = model_of("qwen2_moe");
  to(ModelFormat::pointwork, theirs, "ours");
  const Checkpoint ours = open_checkpoint(folder_ / "ours");
  const auto model = load_model(ours, torch::kCPU);
  {
    const torch::NoGradGuard no_grad;
    for (const Tensor& p : model->parameters()) p.add_(0.25);
  }
  save_checkpoint(folder_ / "more", *model, {.step = 7, .carried = ours.carried});
  EXPECT_EQ(to(ModelFormat::hugging_face, folder_ / "more", "back").model_type, "qwen2_moe");
  const TensorMap before = tensors_in(theirs);
  for (const auto& [name, tensor] : tensors_in(folder_ / "back"))
    EXPECT_TRUE(tensor.equal(before.at(name) + 0.25)) << name;
  const Checkpoint back = open_checkpoint(folder_ / "back");
  EXPECT_EQ(back.step, 7);
  EXPECT_EQ(back.carried, ours.carried);
}

TEST_F(Exchange, DtypesAreChanged) {
  const fs::path theirs = model_of("gpt_neox");
  to(ModelFormat::hugging_face, theirs, "half", {.dtype = torch::kFloat16});
  for (const auto& [name, tensor] : tensors_in(folder_ / "half"))
    EXPECT_TRUE(same_bits(tensor, tensors_in(theirs).at(name).to(torch::kFloat16))) << name;
  EXPECT_EQ(parse_object(read_file(folder_ / "half" / "config.json"), "")["torch_dtype"],
            "float16");
  EXPECT_EQ(open_checkpoint(folder_ / "half").dtype, torch::kFloat32);
  to(ModelFormat::pointwork, theirs, "ours", {.dtype = torch::kBFloat16});
  EXPECT_EQ(open_checkpoint(folder_ / "ours").dtype, torch::kBFloat16);
  to(ModelFormat::hugging_face, folder_ / "ours", "wide", {.dtype = torch::kFloat64});
  for (const auto& [name, tensor] : tensors_in(folder_ / "wide"))
    EXPECT_TRUE(
        same_bits(tensor, tensors_in(theirs).at(name).to(torch::kBFloat16).to(torch::kFloat64)))
        << name;
  expect_in(error_of([&] { to(ModelFormat::pointwork, theirs, "no", {.dtype = torch::kFloat16}); }),
            {"cannot be float16"});
  EXPECT_FALSE(fs::exists(folder_ / "no"));
}

TEST_F(Exchange, LargeOnesAreDivided) {
  const fs::path theirs = model_of("mixtral");
  const ExchangeResult made =
      to(ModelFormat::hugging_face, theirs, "shards", {.shard_bytes = 4000});
  EXPECT_GT(made.files, 2);
  EXPECT_FALSE(fs::exists(folder_ / "shards" / "model.safetensors"));
  expect_same_bits(tensors_in(folder_ / "shards"), tensors_in(theirs));
  for (const auto& entry : fs::directory_iterator(folder_ / "shards")) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file(entry.path());
    uint64_t bytes = 0;
    for (const TensorEntry& one : file.tensors()) bytes += one.end - one.begin;
    EXPECT_TRUE(bytes <= 4000 || file.tensors().size() == 1) << entry.path();
    EXPECT_EQ(file.metadata().at("format"), "pt");
  }
  to(ModelFormat::pointwork, folder_ / "shards", "ours");
  EXPECT_EQ(open_checkpoint(folder_ / "ours").config, open_checkpoint(theirs).config);
}

TEST_F(Exchange, TokenizerFilesGoAlong) {
  const fs::path theirs = model_of("llama");
  put_text(theirs / "tokenizer.json", byte_tokenizer());
  put_text(theirs / "tokenizer_config.json", "{\"a\": 1}");
  put_text(theirs / "merges.txt", "a b\n");
  put_text(theirs / "README.md", "not of the model");
  to(ModelFormat::pointwork, theirs, "ours");
  EXPECT_NE(open_checkpoint(folder_ / "ours").tokenizer_hash, "");
  EXPECT_EQ(open_checkpoint(folder_ / "ours").tokenizer_hash,
            open_checkpoint(theirs).tokenizer_hash);
  to(ModelFormat::hugging_face, folder_ / "ours", "back");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "merges.txt"})
    EXPECT_EQ(read_file(folder_ / "back" / name), read_file(theirs / name)) << name;
  EXPECT_FALSE(fs::exists(folder_ / "back" / "README.md"));
}

TEST_F(Exchange, TwoTruthsAreRefused) {
  OrderedJson json = class_json("llama");
  const fs::path theirs = put_folder(folder_ / "llama", json, class_tensors(json));
  Config other = config_of(json, "");
  other.model.norm_eps = 0.5;
  put_text(theirs / "pointwork.toml", to_toml(other));
  expect_in(error_of([&] { open_checkpoint(theirs); }),
            {"pointwork.toml and config.json say different"});
}

TEST_F(Exchange, WritesElementsInOrderWhateverTheView) {
  const Tensor x = normal({700, 3, 1000}, 4, torch::kFloat32);  // beyond what is copied at a time
  for (const Tensor& view : {x, x.transpose(0, 1), x.transpose(0, 2), x.select(1, 1).t(),
                             x.flatten().slice(0, 1, 2'000'000, 2), x.slice(0, 0, 0)}) {
    std::vector<std::byte> bytes;
    write_elements(view, torch::kFloat64, [&](std::span<const std::byte> part) {
      EXPECT_LE(part.size(), size_t{8} << 20);
      bytes.insert(bytes.end(), part.begin(), part.end());
    });
    const Tensor want = view.to(torch::kFloat64).contiguous();
    ASSERT_EQ(bytes.size(), want.nbytes());
    EXPECT_TRUE(bytes.empty() || std::memcmp(bytes.data(), want.data_ptr(), bytes.size()) == 0);
  }
}

}  // namespace
}  // namespace pointwork::test
