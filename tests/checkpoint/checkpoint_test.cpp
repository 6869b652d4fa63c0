#include "pointwork/checkpoint/checkpoint.h"

#include "pointwork/files/safetensors.h"
#include "tests/checkpoint/cases.h"

namespace pointwork::test {
namespace {

using Json = nlohmann::ordered_json;

class EveryCheckpoint : public testing::TestWithParam<NamedConfig> {};

TEST_P(EveryCheckpoint, GivesTheSameBitsBack) {
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
    const TemporaryFolder folder;
    const auto model = lively_model(GetParam().config, dtype);
    save_checkpoint(folder / "one", *model, full_content(12));
    const Checkpoint opened = open_checkpoint(folder / "one");
    EXPECT_EQ(opened.folder, folder / "one");
    EXPECT_TRUE(opened.config == model->config());
    EXPECT_EQ(opened.step, 12);
    EXPECT_EQ(opened.tokenizer_hash, std::string(32, 'a'));
    EXPECT_EQ(opened.dataset_hash, std::string(32, 'd'));
    EXPECT_EQ(opened.dtype, dtype);
    const auto loaded = load_model(opened, torch::kCPU);
    expect_same_bits(weights_of(*loaded), weights_of(*model));

    // In another precision on request: to the nearest, and routers as they were.
    const auto other = dtype == torch::kFloat32 ? torch::kBFloat16 : torch::kFloat32;
    const auto asked = load_model(opened, torch::kCPU, other);
    convert(*model, other, torch::kCPU);
    expect_same_bits(weights_of(*asked), weights_of(*model));
  }
}

INSTANTIATE_TEST_SUITE_P(Configs, EveryCheckpoint, testing::ValuesIn(every_config()), name_of);

class CheckpointTest : public testing::Test {
 protected:
  explicit CheckpointTest(const std::string& name = "mod_predictor")
      : model_(lively_model(config_named(name))) {}

  fs::path save(const std::string& name = "one", int64_t step = 12) {
    save_checkpoint(folder_ / name, *model_, full_content(step));
    return folder_ / name;
  }
  // Changes the weights' file and makes the manifest fit again.
  template <class Change>
  std::string refusal(const Change& change) {
    fs::remove_all(folder_ / "changed");
    const fs::path at = save("changed");
    TensorMap weights = load_tensors(at / "model.safetensors");
    change(weights);
    fs::remove(at / "model.safetensors");
    save_tensors(at / "model.safetensors", weights);
    write_manifest(at, verify_manifest(at).facts);
    return error_of([&] { load_model(open_checkpoint(at), torch::kCPU); });
  }

  TemporaryFolder folder_;
  std::shared_ptr<Model> model_;
};

TEST_F(CheckpointTest, HasHuggingFacesShape) {
  const fs::path at = save();
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(at))
    names.insert(entry.path().lexically_relative(at).string());
  EXPECT_EQ(names, (std::set<std::string>{"config.json", "generation_config.json", "manifest.json",
                                          "model.safetensors", "pointwork.toml", "tokenizer.json",
                                          "trainer", "trainer/optimizer.safetensors",
                                          "trainer/state.json"}));
  const Json config = Json::parse(read_file(at / "config.json"));
  EXPECT_EQ(config.at("model_type"), "pointwork");
  EXPECT_TRUE(config.at("architectures").is_array());
  EXPECT_EQ(config.at("torch_dtype"), "float32");
  EXPECT_EQ(config.at("vocab_size"), 61);
  EXPECT_EQ(config.at("hidden_size"), 32);
  EXPECT_EQ(config.at("num_hidden_layers"), 4);
  EXPECT_EQ(config.at("pointwork").at("branch").at("mod").at("kind"), "routed");
  const Json generation = Json::parse(read_file(at / "generation_config.json"));
  EXPECT_EQ(generation.at("eos_token_id"), 256);
  EXPECT_EQ(read_file(at / "tokenizer.json"), byte_tokenizer());
  EXPECT_TRUE(load_config(at / "pointwork.toml") == model_->config());

  const SafetensorsFile weights(at / "model.safetensors");
  EXPECT_EQ(weights.tensors().size(), weights_of(*model_).size());
  ASSERT_TRUE(weights.find("layers.1.router.weight"));
  EXPECT_EQ(weights.find("layers.1.router.weight")->shape, std::vector<int64_t>{32});

  const TemporaryFolder half;
  convert(*model_, torch::kBFloat16, torch::kCPU);
  save_checkpoint(half / "one", *model_, {.step = 1});
  EXPECT_EQ(Json::parse(read_file(half / "one" / "config.json")).at("torch_dtype"), "bfloat16");
  const SafetensorsFile halves(half / "one" / "model.safetensors");
  EXPECT_EQ(halves.find("embedding")->dtype, "BF16");
  EXPECT_EQ(halves.find("layers.1.router.weight")->dtype, "F32");
  EXPECT_FALSE(fs::exists(half / "one" / "tokenizer.json"));
}

TEST_F(CheckpointTest, HoldsEverythingATrainerNeeds) {
  const SaveContent content = full_content(12);
  const Checkpoint opened = open_checkpoint(save());
  const TrainerFiles files = load_trainer(opened);
  expect_same_bits(files.tensors, content.trainer->tensors);
  EXPECT_EQ(files.state, content.trainer->state);

  SaveContent without = content;
  without.trainer.reset();
  save_checkpoint(folder_ / "without", *model_, without);
  const Checkpoint bare = open_checkpoint(folder_ / "without");
  expect_in(error_of([&] { load_trainer(bare); }), {"without", "cannot resume"});
}

TEST(Checkpoint, HoldsThresholds) {
  const TemporaryFolder folder;
  const auto model = lively_model(config_named("mod_threshold"));
  const Tensor threshold = depth_routers_of(*model)[0]->threshold;
  threshold[0].fill_(-0.375);
  save_checkpoint(folder / "one", *model, {.step = 1});
  EXPECT_TRUE(
      SafetensorsFile(folder / "one" / "model.safetensors").find("layers.1.router.threshold"));
  const auto loaded = load_model(open_checkpoint(folder / "one"), torch::kCPU);
  EXPECT_TRUE(same_bits(depth_routers_of(*loaded)[0]->threshold, threshold));
}

TEST_F(CheckpointTest, NamesTheTensorThatDoesNotFit) {
  const std::string name = "layers.1.body.mlp.up";
  const auto at = folder_ / "changed";
  expect_in(refusal([&](TensorMap& w) { w.erase(name); }), {at.string(), "'" + name + "'", "no"});
  expect_in(refusal([&](TensorMap& w) { w["layers.9.extra"] = torch::ones({2}); }),
            {at.string(), "'layers.9.extra'", "does not know"});
  expect_in(refusal([&](TensorMap& w) {
              w[name] = torch::ones({32, 128});
            }),
            {at.string(), "'" + name + "'", "[128, 32]", "[32, 128]"});
  expect_in(refusal([&](TensorMap& w) { w[name] = w[name].to(torch::kFloat64); }),
            {at.string(), "'" + name + "'", "Float", "Double"});
  expect_in(refusal([&](TensorMap& w) { w.erase("embedding"); }), {at.string(), "'embedding'"});
  EXPECT_EQ(refusal([](TensorMap&) {}), "");
}

TEST_F(CheckpointTest, IsReplacedOnlyWhenAskedFor) {
  const fs::path at = save("one", 12);
  expect_in(error_of([&] { save("one", 13); }), {at.string(), "exists already"});
  EXPECT_EQ(open_checkpoint(at).step, 12);
  save_checkpoint(at, *model_, full_content(14), /*replace=*/true);
  EXPECT_EQ(open_checkpoint(at).step, 14);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1) << "something was left";
}

TEST_F(CheckpointTest, AppearsWholeOrNotAtAll) {
  SaveContent content = full_content(3);
  content.trainer->tensors["complex"] = torch::ones({2}, torch::kComplexFloat);
  expect_in(error_of([&] { save_checkpoint(folder_ / "one", *model_, content); }), {"Complex"});
  EXPECT_TRUE(fs::is_empty(folder_.path()));
  save("one", 12);
  EXPECT_NE(error_of([&] { save_checkpoint(folder_ / "one", *model_, content, true); }), "");
  EXPECT_EQ(open_checkpoint(folder_ / "one").step, 12);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(CheckpointTest, SaysWhatElseAPathIs) {
  const auto why = [&](const std::string& name) {
    return error_of([&] { open_checkpoint(folder_ / name); });
  };
  const auto put = [&](const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    write_file(folder_ / name, text);
  };
  expect_in(why("absent"), {"absent", "no such checkpoint or run"});
  put("file", "x");
  expect_in(why("file"), {"file", "expected the folder"});
  put("data/dataset.json", "{}");
  expect_in(why("data"), {"data", "is a data set"});
  put("bert/config.json", R"({"model_type": "bert"})");
  expect_in(why("bert"), {"bert/config.json", "model_type must be one of gpt2", "\"bert\""});
  put("broken/config.json", "{");
  expect_in(why("broken"), {"broken/config.json", "it is not valid JSON"});
  put("vague/config.json", "{}");
  expect_in(why("vague"), {"vague/config.json", "has no model_type"});
  put("ours/config.json", R"({"model_type": "pointwork"})");
  expect_in(why("ours"), {"ours", "manifest.json is missing"});
  put("nothing/readme", "");
  expect_in(why("nothing"), {"nothing", "holds no checkpoint"});
  fs::create_directories(folder_ / "run" / "checkpoints");
  expect_in(why("run"), {"run", "no checkpoint yet"});
  put("run/checkpoints/step-3/manifest.json", "{}");
  expect_in(why("run"), {"run", "no valid checkpoint", "manifest.json is damaged"});
}

TEST_F(CheckpointTest, OfARunIsTheNewestValidOne) {
  for (const int64_t step : {2, 4, 6, 8, 10})
    save_checkpoint(step_folder(folder_ / "run" / "checkpoints", step), *model_,
                    full_content(step));
  const fs::path steps = folder_ / "run" / "checkpoints";
  fs::remove(steps / "step-10" / "manifest.json");                     // killed before its end
  fs::resize_file(steps / "step-8" / "model.safetensors", 1000);       // cut short
  fs::remove(steps / "step-6" / "trainer" / "optimizer.safetensors");  // missing
  fs::rename(steps / "step-2", steps / "step-12");                     // another step's
  std::vector<std::string> notes;
  const Checkpoint opened =
      open_checkpoint(folder_ / "run", [&](const std::string& why) { notes.push_back(why); });
  EXPECT_EQ(opened.step, 4);
  ASSERT_EQ(notes.size(), 4u);
  expect_in(notes[0], {"step-12", "it holds step 2"});
  expect_in(notes[1], {"step-10", "manifest.json is missing"});
  expect_in(notes[2], {"step-8", "model.safetensors has 1000 bytes"});
  expect_in(notes[3], {"step-6", "trainer/optimizer.safetensors is missing"});
}

TEST_F(CheckpointTest, EveryNumericTypeGoesThroughAFile) {
  const TensorMap all{{"f64", normal({2, 3}, 1)},
                      {"f32", normal({5}, 2, torch::kFloat32)},
                      {"f16", normal({4}, 3, torch::kHalf)},
                      {"bf16", normal({4, 1}, 4, torch::kBFloat16)},
                      {"i64", torch::tensor({int64_t{-1}, INT64_MAX})},
                      {"i32", ints({1, -2, 3})},
                      {"i16", torch::tensor({7, -8}, torch::kInt16)},
                      {"i8", torch::tensor({-128, 127}, torch::kInt8)},
                      {"u8", torch::tensor({0, 255}, torch::kUInt8)},
                      {"bool", torch::tensor({1, 0, 1}, torch::kInt32).gt(0)},
                      {"scalar", torch::tensor(2.5f)},
                      {"empty", torch::empty({0, 3})},
                      {"strided", normal({4, 6}, 5).t()},
                      {"nan", torch::full({2}, std::nan(""))}};
  save_tensors(folder_ / "all.safetensors", all);
  expect_same_bits(load_tensors(folder_ / "all.safetensors"), all);
}

}  // namespace
}  // namespace pointwork::test
