// Training with experts: losses beside the language model's, what moves outside the gradient, what
// decays.

#include "pointwork/route/balance.h"
#include "pointwork/train/trainer.h"
#include "tests/support/tensors.h"
#include "tests/train/cases.h"

namespace pointwork::test {
namespace {

constexpr int64_t kLength = 24;

class ExpertTraining : public testing::Test {
 protected:
  Losses losses_of(Model& model) const {
    Batch batch{.sequences = 2, .length = kLength};
    const auto size = static_cast<size_t>(2 * kLength);
    batch.input.resize(size), batch.target.resize(size), batch.document.resize(size);
    batch.sequence.resize(2), batch.valid.resize(2);
    for (int64_t row = 0; row < 2; ++row) data_.dataset.read(Split::train, row, row, batch);
    Context ctx{.training = true, .step = kSettled, .seed = 5};
    return compute_losses(model, to_tensors(batch, torch::kCPU), ctx, 0);
  }
  ByteData data_;
};

// #29503, #28255: each layer's own loss; loads of two layers never make up for one another. And
// HF4b: where every layer has experts there is a loss all the same.
TEST_F(ExpertTraining, LossesOfLayersAreAddedOrAveraged) {
  Config config = byte_config("switch");
  config.model.layers.repeat = {"moe"};
  auto& route = std::get<RoutedConfig>(config.branch.at("experts").form).route;
  route.balance.loss_weight = 0.25;
  for (const LayerReduction reduction : {LayerReduction::sum, LayerReduction::mean}) {
    route.balance.layers = reduction;
    const auto model = lively_model(config);
    const Losses losses = losses_of(*model);
    ASSERT_EQ(losses.routes.size(), 4u);
    double sum = 0;
    for (const Route& r : losses.routes)
      sum += 0.25 * balance_loss(r.probability, r.choice, 4, 0, {}).item<double>();
    if (reduction == LayerReduction::mean) sum /= 4;
    EXPECT_NEAR(losses.total.item<double>() - losses.language.item<double>(), sum, 1e-5);
    EXPECT_GT(sum, 0.2);
  }
}

TEST_F(ExpertTraining, BalancesByDefault) {
  EXPECT_EQ(RouteConfig{}.balance.loss_weight, 0.01);
  const auto model = lively_model(byte_config("switch"));
  const Losses losses = losses_of(*model);
  EXPECT_GT(losses.total.item<double>(), losses.language.item<double>() + 2 * 0.0099);
}

TEST_F(ExpertTraining, AMaskedStepLeavesTheBiasAsItWasAndNamesTheRouter) {
  Config config = byte_config("moe_bias");
  const auto model = std::make_shared<Model>(config);
  initialise(*model, 1);
  Trainer trainer(model, data_.dataset);
  const auto routers = routers_of(*model);
  const auto& router = dynamic_cast<const TokenRouter&>(*routers[0]);
  EXPECT_EQ(largest(router.bias), 0);
  EXPECT_FALSE(trainer.read(trainer.step()).skipped);
  const Tensor bias = router.bias.clone();
  EXPECT_GT(largest(bias), 0);

  const Tensor sound = routers[1]->weight.detach().clone();
  routers[1]->weight.data()[2].fill_(NAN);
  const StepValues bad = trainer.read(trainer.step());
  EXPECT_TRUE(bad.skipped);
  EXPECT_EQ(bad.bad_router, routers[1]->name());
  EXPECT_TRUE(router.bias.equal(bias));
  routers[1]->weight.data().copy_(sound);
  const StepValues good = trainer.read(trainer.step());
  EXPECT_FALSE(good.skipped);
  EXPECT_EQ(good.bad_router, "");
  EXPECT_FALSE(router.bias.equal(bias));
}

// One move a step, by the loads of all its micro-batches.
TEST_F(ExpertTraining, ABiasMovesOnceAStep) {
  Config config = byte_config("moe_bias");
  config.train.gradient_accumulation_steps = 3;
  const auto model = std::make_shared<Model>(config);
  initialise(*model, 1);
  Trainer trainer(model, data_.dataset);
  trainer.step();
  for (const auto& router : routers_of(*model))
    EXPECT_NEAR(largest(dynamic_cast<const TokenRouter&>(*router).bias), 0.01, 1e-9);
}

// Norms, biases and routers have an expert dimension too, but are no matrices.
TEST_F(ExpertTraining, MatricesAloneDecay) {
  std::set<std::string> others, matrices;
  for (const char* name : {"moe_shared", "moe_modern", "switch"}) {
    for (const auto& item : Model(byte_config(name)).named_parameters())
      (is_matrix(item.key(), item.value()) ? matrices : others)
          .insert(item.key().substr(item.key().find('.', 7) + 1));
  }
  EXPECT_TRUE(matrices.count("experts.body.up") && matrices.count("experts.body.down"));
  for (const char* name : {"experts.router.weight", "experts.body.norm.weight", "experts.norm.bias",
                           "both.experts.body.up_bias", "both.experts.body.output_norm.weight"})
    EXPECT_EQ(others.count(name), 1u) << name;
  for (const std::string& name : matrices)
    EXPECT_TRUE(name.find("norm") == std::string::npos && name.find("bias") == std::string::npos &&
                name.find("router") == std::string::npos)
        << name;
}

// Switch §2.4: a normal of deviation √(s / n) cut at two deviations, n without the experts'
// dimension.
TEST_F(ExpertTraining, StartsFromATruncatedNormal) {
  Config config = byte_config("switch");
  config.model.hidden_size = 64;
  config.model.initializer_scale = 0.1;
  Model model(config);
  initialise(model, 1);
  for (const auto& item : model.named_parameters()) {
    const std::string& name = item.key();
    if (!name.starts_with("layers.") || !is_matrix(name, item.value())) continue;
    const double scale = std::sqrt(0.1 / static_cast<double>(item.value().size(-1)));
    EXPECT_LE(largest(item.value()), 2 * scale) << name;
    EXPECT_GT(largest(item.value()), 1.9 * scale) << name;
    // The deviation of what is left of a normal between ±2.
    EXPECT_NEAR(item.value().std().item<double>() / scale, 0.8796, 0.02) << name;
  }
  const Tensor router = routers_of(model)[0]->weight;
  EXPECT_NEAR(router.std().item<double>(), 0.02, 0.004);
}

TEST_F(ExpertTraining, AverageTheirLoadsOverAnEvaluation) {
  const auto model = lively_model(byte_config("moe_noops"));
  for (const Routing routing : {Routing::training, Routing::inference}) {
    const Evaluation evaluation =
        evaluate(*model, data_.dataset, {.routing = routing, .length = kLength});
    for (const RouteStats& layer : evaluation.layers) {
      ASSERT_TRUE(layer.experts);
      const ExpertStats& e = *layer.experts;
      ASSERT_EQ(e.load.size(), 5u);
      EXPECT_NEAR(e.load[0] + e.load[1] + e.load[2], 3, 1e-9);
      EXPECT_EQ(e.dropped_share > 0, routing == Routing::training);
      EXPECT_GT(e.noop_share, 0);
      EXPECT_GT(e.confidence, 1.0 / 5);
      EXPECT_GT(e.entropy, 0);
      EXPECT_LT(e.entropy, 1);
    }
  }
}

}  // namespace
}  // namespace pointwork::test
