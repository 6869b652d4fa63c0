// Law 7: save → load → the same bits, and 2n steps are n, a resume from disk, and n more, to the
// last bit. Besides: a predictor changes no bit of the language model that it watches.

#include <gtest/gtest.h>

#include "pointwork/checkpoint/checkpoint.h"
#include "pointwork/train/trainer.h"
#include "tests/data/cases.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

class Training : public ::testing::TestWithParam<NamedConfig> {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    at::set_num_threads(1);
    std::string text;
    for (int i = 0; i < 300; ++i) text += concat("line ", i * i, " of the text; ");
    const fs::path file = write(*folder_ / "text.txt", text);
    prepare({.inputs = {file}, .out = *folder_ / "data", .validation_share = 0}, byte_encoder());
  }
  static void TearDownTestSuite() { delete folder_; }
  static Dataset dataset() { return Dataset(*folder_ / "data"); }

  // The config with the data's vocabulary and a rate at which every step moves every weight.
  static Config config() {
    Config config = GetParam().config;
    config.model.vocab_size = 257;
    config.schedule.warmup_steps = 2;
    config.optimizer.learning_rate = 3e-3;
    config.train.gradient_accumulation_steps = 2;
    return config;
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* Training::folder_ = nullptr;
INSTANTIATE_TEST_SUITE_P(Laws, Training, ::testing::ValuesIn(every_config()), name_of);

constexpr int64_t kSteps = 4;

std::shared_ptr<Model> new_model(const Config& config, torch::Dtype dtype) {
  auto model = std::make_shared<Model>(config);
  initialise(*model, 7);
  convert(*model, dtype, torch::kCPU);
  return model;
}

void expect_equal(const TensorMap& got, const TensorMap& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, tensor] : want) {
    const auto found = got.find(name);
    ASSERT_NE(found, got.end()) << name;
    EXPECT_EQ(found->second.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(found->second.equal(tensor)) << name;
  }
}

StepValues step(Trainer& trainer) { return trainer.read(trainer.step()); }

TensorMap copy_of(const TensorMap& tensors) {
  TensorMap copies;
  for (const auto& [name, tensor] : tensors) copies[name] = tensor.clone();
  return copies;
}

TEST_P(Training, WhatIsSavedLoadsWithTheSameBits) {
  const Tokens tokens = {random_tokens(24, 81), random_tokens(24, 82)};
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
    const auto model = lively_model(GetParam().config, dtype);
    const fs::path at = *folder_ / concat("saved-", GetParam().name, "-", torch::toString(dtype));
    save_checkpoint(at, *model, {.step = kSettled});
    const Checkpoint checkpoint = open_checkpoint(at);
    EXPECT_EQ(checkpoint.step, kSettled);
    EXPECT_EQ(changed_keys(checkpoint.config, model->config()), std::vector<std::string>());
    const auto loaded = load_model(checkpoint, torch::kCPU);
    expect_equal(weights_of(*loaded), weights_of(*model));
    for (const Routing routing : {Routing::training, Routing::inference}) {
      const Seen got = look(*loaded, uniform(tokens), routing);
      EXPECT_TRUE(got.logits.equal(look(*model, uniform(tokens), routing).logits));
    }
  }
}

TEST_P(Training, AResumeFromDiskContinuesToTheLastBit) {
  const Dataset data = dataset();
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
    const auto straight = new_model(config(), dtype);
    Trainer through(straight, data);
    std::vector<double> losses;
    for (int64_t i = 0; i < 2 * kSteps; ++i) losses.push_back(step(through).loss);

    const fs::path at = *folder_ / concat("run-", GetParam().name, "-", torch::toString(dtype));
    {
      const auto model = new_model(config(), dtype);
      Trainer trainer(model, data);
      for (int64_t i = 0; i < kSteps; ++i) EXPECT_EQ(step(trainer).loss, losses[i]);
      save_checkpoint(at, *model, {.step = kSteps});
      save_tensors(at.string() + ".state", trainer.state().optimizer);
    }
    const auto model = load_model(open_checkpoint(at), torch::kCPU);
    Trainer trainer(model, data);
    trainer.restore({.step = kSteps,
                     .loader = {.epoch = 0, .next = kSteps * 4},  // two of two sequences a step
                     .optimizer = load_tensors(at.string() + ".state")});
    for (int64_t i = kSteps; i < 2 * kSteps; ++i) EXPECT_EQ(step(trainer).loss, losses[i]) << i;
    expect_equal(weights_of(*model), weights_of(*straight));
    expect_equal(trainer.state().optimizer, through.state().optimizer);
    EXPECT_EQ(trainer.state().loader, through.state().loader);
  }
}

// The run without it: the router decides, with a loss of weight 0.
TEST_P(Training, APredictorChangesNoLanguageModelWeight) {
  const auto with_decision = [](CausalDecision decision) {
    Config config = Training::config();
    for (auto& [name, branch] : config.branch) {
      auto* routed = std::get_if<RoutedConfig>(&branch.form);
      if (!routed) continue;
      routed->route.decode = decision;
      routed->route.decode_loss_weight = 0;
    }
    return config;
  };
  const Dataset data = dataset();
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
    const auto watched = new_model(with_decision(CausalDecision::predictor), dtype);
    const auto alone = new_model(with_decision(CausalDecision::router), dtype);
    const TensorMap before = copy_of(weights_of(*watched));
    Trainer a(watched, data), b(alone, data);
    for (int64_t i = 0; i < kSteps; ++i) {
      const StepValues one = step(a), other = step(b);
      EXPECT_EQ(one.loss, other.loss);
      EXPECT_EQ(one.grad_norm, other.grad_norm);
    }
    TensorMap language = weights_of(*watched), predictors;
    std::erase_if(language, [&](const auto& item) {
      if (!is_predictor(item.first)) return false;
      predictors.insert(item);
      return true;
    });
    expect_equal(language, weights_of(*alone));
    // Predictors learn meanwhile, and so does the rest.
    bool has_predictors = false;
    for (const auto& router : depth_routers_of(*watched))
      has_predictors = has_predictors || router->predictor;
    EXPECT_EQ(predictors.empty(), !has_predictors);
    bool sparse = false;
    for (const auto& router : depth_routers_of(*watched))
      sparse = sparse || router->capacity(kSteps - 1) < 1;
    for (const auto& [name, tensor] : predictors)
      EXPECT_EQ(tensor.equal(before.at(name)), !sparse) << name;
    EXPECT_FALSE(language.at("embedding").equal(before.at("embedding")));
  }
}

}  // namespace
}  // namespace pointwork::test
