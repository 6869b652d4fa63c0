#include "pointwork/train/trainer.h"

#include "tests/train/cases.h"

namespace pointwork::test {
namespace {

using Tensors = std::map<std::string, Tensor>;

// All that a step can change.
Tensors everything(const Trainer& trainer) {
  Tensors all = snapshot(trainer.model());
  for (const auto& [name, tensor] : copies(trainer.state().optimizer))
    all["optimizer." + name] = tensor;
  return all;
}

std::vector<double> losses(Trainer& trainer, int steps) {
  std::vector<double> all;
  for (int i = 0; i < steps; ++i) all.push_back(trainer.read(trainer.step()).loss);
  return all;
}

// How far two orders of a sum of `terms` products may lie apart, relative to the largest value: as
// tolerance_of() in tests/support/lively.h.
double reordered(double terms) {
  return 4 * std::sqrt(terms) * std::numeric_limits<float>::epsilon();
}

class TrainerTest : public testing::Test {
 protected:
  ByteData data_;
};

TEST_F(TrainerTest, MicroBatchesAreOneLargeBatch) {
  for (const char* name : {"dense", "mod_predictor", "mod_router"}) {
    const auto config = [&](const char* batch, const char* count) {
      return byte_config(name, {{"train.batch_size", batch},
                                {"train.gradient_accumulation_steps", count},
                                {"train.z_loss", "0.001"}});
    };
    Trainer whole = new_trainer(config("6", "1"), data_.dataset),
            parts = new_trainer(config("2", "3"), data_.dataset);
    const int64_t windows = data_.dataset.windows(Split::train, 24);
    ASSERT_NE((data_.dataset.tokens(Split::train) - 1) % 24, 0) << "a window must be ragged";
    // One epoch: the ragged window comes in some step, and its micro-batch has fewer targets.
    for (int64_t step = 0; step * 6 < windows; ++step) {
      const TrainerState before = whole.state();
      parts.restore(
          {before.step, before.loader, before.tokens, before.flops, 0, copies(before.optimizer)});
      {
        const torch::NoGradGuard no_grad;
        const Tensors theirs = snapshot(whole.model());
        for (const auto& item : parts.model().named_parameters())
          Tensor(item.value()).copy_(theirs.at(item.key()));
      }
      const Tensors start = copies(before.optimizer);
      const StepValues a = whole.read(whole.step()), b = parts.read(parts.step());
      // Rows and width of the largest sum, in each of four blocks and their backward passes.
      const double tolerance = 8 * reordered(6 * 24 * 128);
      EXPECT_NEAR(a.loss, b.loss, tolerance * a.loss) << name << ", step " << step;
      EXPECT_NEAR(a.grad_norm, b.grad_norm, tolerance * a.grad_norm) << name << ", step " << step;
      const TrainerState wholes = whole.state(), partial = parts.state();
      EXPECT_EQ(wholes.tokens, partial.tokens);
      EXPECT_EQ(wholes.flops, partial.flops);
      EXPECT_EQ(wholes.loader, partial.loader);
      for (const auto& [key, want] : wholes.optimizer) {
        if (!key.starts_with("first.")) continue;
        // What this step added: (1 - beta1) times the clipped gradient.
        const Tensor kept = 0.9 * start.at(key);
        const Tensor added = want - kept, got = partial.optimizer.at(key) - kept;
        const double scale = std::max(added.abs().max().item<double>(), 1e-4);
        EXPECT_LE((added - got).abs().max().item<double>(), tolerance * scale)
            << name << ", step " << step << ", " << key;
      }
    }
  }
}

TEST_F(TrainerTest, TwoRunsAgreeToTheLastBit) {
  for (const char* name : {"mod_predictor", "mod_threshold", "mod_modern"}) {
    for (const char* precision : {"float32", "bfloat16"}) {
      const Config config = byte_config(name, {{"train.precision", precision}});
      Trainer a = new_trainer(config, data_.dataset), b = new_trainer(config, data_.dataset);
      EXPECT_EQ(losses(a, 4), losses(b, 4));
      expect_same_bits(everything(a), everything(b));
    }
  }
}

class EveryTrainer : public testing::TestWithParam<NamedConfig> {};

TEST_P(EveryTrainer, GoesOnFromItsState) {
  const ByteData data;
  const Config config = byte_config(GetParam().name);
  Trainer straight = new_trainer(config, data.dataset), first = new_trainer(config, data.dataset);
  losses(straight, 6);
  losses(first, 3);
  Trainer second = new_trainer(config, data.dataset);
  {
    const torch::NoGradGuard no_grad;
    const Tensors theirs = snapshot(first.model());
    for (const auto& item : second.model().named_parameters())
      Tensor(item.value()).copy_(theirs.at(item.key()));
    for (const auto& item : second.model().named_buffers())
      Tensor(item.value()).copy_(theirs.at(item.key()));
  }
  second.restore(first.state());
  losses(second, 3);
  expect_same_bits(everything(second), everything(straight));
  EXPECT_EQ(second.state().loader, straight.state().loader);
  EXPECT_EQ(second.state().tokens, straight.state().tokens);
  EXPECT_EQ(second.state().flops, straight.state().flops);
  EXPECT_EQ(second.steps_done(), 6);
}

INSTANTIATE_TEST_SUITE_P(Configs, EveryTrainer, testing::ValuesIn(all_configs()), name_of);

TEST_F(TrainerTest, EvaluatingLeavesNoTrace) {
  for (const char* name : {"dense", "mod_predictor", "mod_threshold", "mod_random"}) {
    const Config config = byte_config(name);
    Trainer plain = new_trainer(config, data_.dataset), judged = new_trainer(config, data_.dataset);
    for (int step = 0; step < 4; ++step) {
      const Tensors before = everything(judged);
      judged.evaluate(Routing::training);
      judged.evaluate(Routing::inference);
      expect_same_bits(everything(judged), before);
      EXPECT_EQ(losses(plain, 1), losses(judged, 1));
    }
    expect_same_bits(everything(judged), everything(plain));
  }
}

TEST_F(TrainerTest, TrainingLowersTheLoss) {
  for (const char* precision : {"float32", "bfloat16"}) {
    Trainer trainer =
        new_trainer(byte_config("mod_predictor", {{"train.steps", "60"},
                                                  {"train.precision", precision},
                                                  {"schedule.warmup_steps", "5"},
                                                  {"optimizer.learning_rate", "1e-2"}}),
                    data_.dataset);
    const double start = trainer.evaluate(Routing::inference).loss;
    EXPECT_NEAR(start, std::log(257), 0.2);
    losses(trainer, 60);
    EXPECT_TRUE(trainer.finished());
    // Twenty letters, evenly: log 20, and a little for where documents end.
    EXPECT_LT(trainer.evaluate(Routing::inference).loss, std::log(20) + 0.4);
  }
}

TEST_F(TrainerTest, StopsAfterTooManyBadStepsWithTheWeightsBeforeThem) {
  Trainer trainer =
      new_trainer(byte_config("mod_threshold", {{"guard.max_skipped", "3"}}), data_.dataset);
  losses(trainer, 2);
  {
    const torch::NoGradGuard no_grad;
    Tensor(trainer.model().named_parameters()["layers.2.mlp.up"])[3][5] = std::nan("");
  }
  const Tensors before = snapshot(trainer.model());
  for (int step = 3; step <= 4; ++step) {
    const StepOutcome outcome = trainer.step();
    const StepValues values = trainer.read(outcome);
    EXPECT_TRUE(values.skipped);
    EXPECT_TRUE(std::isnan(values.loss));
    EXPECT_EQ(outcome.step, step);
  }
  const StepOutcome last = trainer.step();
  expect_in(error_of([&] { trainer.read(last); }),
            {"step 5", "3 steps in a row", "guard.spike_factor", "optimizer.learning_rate"});
  expect_same_bits(snapshot(trainer.model()), before);
}

TEST(CheckFits, SaysWhatIsTooSmall) {
  const ByteData data(2, 0);
  const int64_t tokens = data.dataset.tokens(Split::train);
  const auto config = [&](int64_t length) {
    const std::string text = std::to_string(length);
    return byte_config("dense",
                       {{"train.sequence_length", text}, {"model.max_position_embeddings", text}});
  };
  check_fits(data.dataset, config(tokens - 1));
  expect_in(error_of([&] { check_fits(data.dataset, config(tokens)); }),
            {data.dataset.folder().string(), std::to_string(tokens) + " training tokens",
             "one sequence of " + std::to_string(tokens)});
  Config small = config(8);
  small.model.vocab_size = 256;
  expect_in(error_of([&] { check_fits(data.dataset, small); }), {"256", "model.vocab_size"});
}

}  // namespace
}  // namespace pointwork::test
