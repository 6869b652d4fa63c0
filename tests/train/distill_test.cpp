// A teacher beside the text: what is learnt from it, and what is taken over.

#include "pointwork/train/distill.h"

#include <cmath>

#include "tests/support/tensors.h"
#include "tests/train/cases.h"

namespace pointwork::test {
namespace {

constexpr int64_t kLength = 24;

Config taught_config(const std::string& name, const std::vector<Override>& more = {}) {
  std::vector<Override> all = {{"train.steps", "6"},
                               {"train.batch_size", "3"},
                               {"train.sequence_length", "24"},
                               {"schedule.warmup_steps", "2"}};
  all.insert(all.end(), more.begin(), more.end());
  return byte_config(name, all);
}

std::shared_ptr<Teacher> teacher_of(const std::string& name, const DistillConfig& how,
                                    torch::Dtype dtype = torch::kFloat32) {
  return std::make_shared<Teacher>(lively_model(byte_config(name), dtype, 9), how, kSettled);
}

Batch windows(const Dataset& dataset, int64_t first, int64_t sequences) {
  Batch batch{.sequences = sequences, .length = kLength};
  const auto size = static_cast<size_t>(sequences * kLength);
  batch.input.resize(size), batch.target.resize(size), batch.document.resize(size);
  batch.sequence.resize(static_cast<size_t>(sequences));
  batch.valid.resize(static_cast<size_t>(sequences));
  for (int64_t row = 0; row < sequences; ++row) dataset.read(Split::train, first + row, row, batch);
  return batch;
}

// Logits of the whole batch in float64, under a routing.
Tensor logits_of(Model& model, const BatchTensors& batch, Routing routing, int64_t step) {
  const torch::NoGradGuard no_grad;
  Context ctx{.rows = batch.rows, .routing = routing, .step = step};
  return model.logits(model.forward(batch.input, ctx).hidden).to(torch::kFloat64);
}

class DistillTest : public testing::Test {
 protected:
  // The last window is ragged: padding stands at its end.
  int64_t ragged() const { return data_.dataset.windows(Split::train, kLength) - 1; }
  ByteData data_;
};

// Every family teaches a dense student, by its causal choice, and padding is no text.
TEST_F(DistillTest, LossIsTheMixtureOfHardAndSoft) {
  const DistillConfig how{.hard_weight = 0.6, .soft_weight = 0.3, .temperature = 2};
  const Batch batch = windows(data_.dataset, ragged() - 2, 3);
  ASSERT_LT(batch.valid[2], kLength);
  const BatchTensors tensors = to_tensors(batch, torch::kCPU);
  for (const char* name : {"dense", "mod_predictor", "switch", "moe_shared", "mod_threshold"}) {
    const auto model = lively_model(byte_config(name), torch::kFloat32, 9);
    Teacher teacher(model, how, kSettled);
    const auto student = lively_model(byte_config("dense"));
    const TaughtBy taught = teacher.targets(tensors);
    EXPECT_FALSE(taught.hidden.requires_grad());
    Context ctx{.training = true, .step = 3};
    const Losses losses = compute_losses(*student, tensors, ctx, 0, &taught);

    const Tensor own = logits_of(*student, tensors, Routing::training, 3);
    const Tensor its = logits_of(*model, tensors, Routing::inference, kSettled);
    const Tensor counts = tensors.target.ge(0);
    const Tensor index = tensors.target.clamp_min(0).to(torch::kInt64).unsqueeze(1);
    const double count = counts.sum().item<double>();
    const double hard =
        -(own.log_softmax(1).gather(1, index).squeeze(1) * counts).sum().item<double>() / count;
    const Tensor soft_rows = -((its / 2).softmax(1) * (own / 2).log_softmax(1)).sum(1);
    const double soft = (soft_rows * counts).sum().item<double>() / count;
    // The logits' own roundings, as in objective_test.cpp.
    constexpr double kTolerance = 1e-4;
    EXPECT_NEAR(losses.total.item<double>(), 0.6 * hard + 0.3 * 4 * soft, kTolerance) << name;
    EXPECT_NEAR(losses.language.item<double>(), hard, kTolerance) << name;
    EXPECT_NEAR(losses.soft_sum.item<double>() / count, soft, kTolerance) << name;
    EXPECT_EQ(losses.count.item<double>(), count);
    EXPECT_LT(count, 3 * kLength);

    losses.total.backward();
    for (const Tensor& parameter : model->parameters()) EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST_F(DistillTest, TheTeacherStaysAsItIsAndIsToldApart) {
  DistillConfig how;
  const Config config = taught_config("dense");
  for (const char* name : {"mod_threshold", "moe_bias"}) {
    const auto teacher = teacher_of(name, how);
    const auto before = snapshot(teacher->model());
    auto model = std::make_shared<Model>(config);
    initialise(*model, 1);
    Trainer trainer(model, data_.dataset, teacher);
    Trainer alone = new_trainer(config, data_.dataset);
    std::vector<double> soft;
    for (int step = 0; step < 6; ++step) {
      const StepOutcome outcome = trainer.step();
      const StepValues values = trainer.read(outcome), plain = alone.read(alone.step());
      ASSERT_TRUE(values.soft_loss.has_value());
      EXPECT_FALSE(plain.soft_loss.has_value());
      soft.push_back(*values.soft_loss);
      // The first step has the same weights: the loss is the student's own on the text.
      if (step == 0) {
        EXPECT_NEAR(values.loss, plain.loss, 1e-5);
      } else if (step == 5) {
        EXPECT_NE(values.loss, plain.loss);
      }
      EXPECT_EQ(outcome.flops, flops_until(*model, step + 1)) << "the student's alone";
    }
    expect_same_bits(snapshot(teacher->model()), before);
    EXPECT_NE(soft.front(), soft.back());
  }
}

// Accumulated micro-batches weigh by their targets, as in one large batch.
TEST_F(DistillTest, MicroBatchesAddUpToOneBatch) {
  const DistillConfig how;
  const auto values_of = [&](const std::vector<Override>& keys) {
    const Config config = taught_config("dense", keys);
    auto model = std::make_shared<Model>(config);
    initialise(*model, 1);
    Trainer trainer(model, data_.dataset, teacher_of("mod_predictor", how));
    const StepValues values = trainer.read(trainer.step());
    return std::tuple{values.loss, *values.soft_loss, values.grad_norm};
  };
  const auto [loss, soft, norm] = values_of({{"train.batch_size", "6"}});
  const auto [loss3, soft3, norm3] =
      values_of({{"train.batch_size", "2"}, {"train.gradient_accumulation_steps", "3"}});
  EXPECT_NEAR(loss, loss3, 1e-5);
  EXPECT_NEAR(soft, soft3, 1e-5);
  EXPECT_NEAR(norm, norm3, 1e-4 * norm);
}

// A student that learns from the teacher alone comes nearer to what it says.
TEST_F(DistillTest, TheSoftLossFalls) {
  const Config config =
      taught_config("dense", {{"train.steps", "30"}, {"optimizer.learning_rate", "3e-3"}});
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    const bool half = precision == Precision::bfloat16;
    Config own = config;
    own.train.precision = precision;
    auto model = std::make_shared<Model>(own);
    initialise(*model, 1);
    convert(*model, half ? torch::kBFloat16 : torch::kFloat32, torch::kCPU);
    Trainer trainer(model, data_.dataset,
                    teacher_of("moe_shared", {.hard_weight = 0, .soft_weight = 1},
                               half ? torch::kBFloat16 : torch::kFloat32));
    double first = 0, last = 0;
    while (!trainer.finished()) {
      last = *trainer.read(trainer.step()).soft_loss;
      if (first == 0) first = last;
    }
    EXPECT_LT(last, first - 0.1);
  }
}

TEST_F(DistillTest, TheTeacherIsEvaluatedOnTheSameWindows) {
  const auto other = lively_model(byte_config("mod_predictor"), torch::kFloat32, 9);
  const auto teacher = std::make_shared<Teacher>(other, DistillConfig{}, kSettled);
  const Config config = taught_config("dense", {{"evaluate.sequences", "5"}});
  auto model = std::make_shared<Model>(config);
  initialise(*model, 1);
  Trainer trainer(model, data_.dataset, teacher);
  const Evaluation its = trainer.evaluate_teacher();
  EXPECT_EQ(its.tokens, trainer.evaluate(Routing::inference).tokens);
  EXPECT_EQ(its.loss, evaluate(*other, data_.dataset,
                               {.routing = Routing::inference,
                                .sequences = 5,
                                .length = kLength,
                                .batch = 3,
                                .step = kSettled,
                                .seed = static_cast<uint64_t>(other->config().train.seed)})
                          .loss);
}

TEST(Inherit, TakesWhatHasTheSameNameAndShape) {
  const auto teacher = lively_model(config_named("moe_top2"), torch::kFloat32, 9);
  // chain(attention, mlp) everywhere, beside chain(attention, experts) in every other layer.
  auto dense = std::make_shared<Model>(config_named("dense"));
  initialise(*dense, 1);
  const auto before = snapshot(*dense);
  const Inheritance took = inherit(*dense, *teacher);
  const auto theirs = snapshot(*teacher);
  int64_t taken = 0;
  double values = 0, all = 0;
  for (const auto& item : dense->named_parameters()) {
    const bool experts =
        item.key().starts_with("layers.1.mlp.") || item.key().starts_with("layers.3.mlp.");
    const auto numbers = static_cast<double>(item.value().numel());
    all += numbers;
    const auto& source = experts ? before.at(item.key()) : theirs.at(item.key());
    EXPECT_TRUE(same_bits(item.value(), source)) << item.key();
    if (!experts) ++taken, values += numbers;
  }
  EXPECT_EQ(took.taken, taken);
  EXPECT_EQ(took.taken_values, values);
  EXPECT_EQ(took.all, all);
  EXPECT_EQ(took.without.size() + static_cast<size_t>(taken), before.size());
  EXPECT_NE(std::find(took.without.begin(), took.without.end(), "layers.1.mlp.up"),
            took.without.end());
  const std::string text = told(took);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_NE(text.find(concat("starts from ", taken, " of the teacher's weights")),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("layers.1.mlp.up"), std::string::npos) << text;
}

TEST(Inherit, ExpertsAreTheTeachersOwn) {
  const Config config = config_named("moe_top2");
  const auto teacher = lively_model(config, torch::kFloat32, 9);
  auto student = std::make_shared<Model>(config);
  initialise(*student, 1);
  const auto before = snapshot(*student), theirs = snapshot(*teacher);
  inherit(*student, *teacher);
  for (const auto& item : student->named_parameters()) {
    const bool expert = item.key().find(".experts.body.") != std::string::npos;
    EXPECT_TRUE(same_bits(item.value(), expert ? before.at(item.key()) : theirs.at(item.key())))
        << item.key();
  }
}

TEST(Inherit, AnotherWidthHasNothingInCommon) {
  Config wide = config_named("dense");
  wide.model.hidden_size = 64;
  auto student = std::make_shared<Model>(wide);
  initialise(*student, 1);
  const Inheritance took = inherit(*student, *lively_model(config_named("dense")));
  EXPECT_EQ(took.taken, 0);
  EXPECT_NE(told(took).find(" and "), std::string::npos) << told(took);
  EXPECT_NE(told(took).find("0 of the teacher's weights, 0 %"), std::string::npos) << told(took);
}

// Switch, table 6: the losses are negative log perplexities, their signs turned.
TEST(GainKept, IsTheShareOfTheTeachersGain) {
  EXPECT_NEAR(gain_kept(1.636, 1.580, 1.444), 0.29, 0.005);
  EXPECT_NEAR(gain_kept(1.636, 1.598, 1.444), 0.20, 0.005);
  EXPECT_NEAR(gain_kept(1.636, 1.639, 1.444), -0.016, 0.0005);
  EXPECT_TRUE(std::isnan(gain_kept(1.4, 1.3, 1.4)));
  EXPECT_TRUE(std::isnan(gain_kept(1.4, 1.3, 1.5)));
}

}  // namespace
}  // namespace pointwork::test
