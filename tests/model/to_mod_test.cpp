#include "pointwork/model/to_mod.h"

#include "tests/support/lively.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

Config dense_config() { return small_config(kDense, "layers = [\"dense\"]"); }

std::string message_of(const Config& config, const ToModOptions& options) {
  try {
    to_mod(config, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ToMod, RoutesTheChosenLayers) {
  const Config made = to_mod(dense_config(), {.capacity = 0.25, .steps = 40});
  EXPECT_EQ(made.model.layers.repeat, (std::vector<std::string>{"dense", "mod"}));
  const RoutedConfig& mod = std::get<RoutedConfig>(made.branch.at("mod").form);
  EXPECT_EQ(mod.of, "dense");
  EXPECT_EQ(mod.route.capacity, 0.25);
  EXPECT_EQ(mod.route.weight, RouterWeight::tanh);
  EXPECT_EQ(mod.route.capacity_schedule,
            (CapacityScheduleConfig{.start = 1, .steps = 40, .values = 16}));
  EXPECT_EQ(layer_names(to_mod(dense_config(), {.layers = {.every = 4, .offset = 2}}).model),
            (std::vector<std::string>{"dense", "dense", "mod", "dense"}));
  EXPECT_EQ(remarks(to_mod(dense_config(), {.steps = 5})), remarks(dense_config()));
}

TEST(ToMod, TheFirstStepComputesWhatTheDenseModelDid) {
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kFloat64}) {
    const auto dense = lively_model(dense_config(), dtype);
    const auto made = to_mod(*dense, {.capacity = 0.25, .layers = {.every = 1, .offset = 0}});
    EXPECT_EQ(made->dtype(), dtype);
    const Ragged batch = uniform({random_tokens(24, 61), random_tokens(24, 62)});
    for (const Routing routing : {Routing::training, Routing::inference}) {
      const Seen want = look(*dense, batch, routing), got = look(*made, batch, routing, nullptr, 0);
      EXPECT_LE((want.logits - got.logits).abs().max().item<double>(), tolerance_of(want.logits));
    }
    // Afterwards the capacity has fallen, and a quarter of the tokens enter.
    const Seen later = look(*made, batch, Routing::training, nullptr, 2000);
    for (const LayerTrace& layer : later.layers)
      EXPECT_EQ(std::count(layer.entered.begin(), layer.entered.end(), 1), 12);
  }
}

// A predictor that has learnt nothing yet lets every token in.
TEST(ToMod, InferenceBeginsWithEveryToken) {
  const auto made = to_mod(*lively_model(dense_config()), {.capacity = 0.125, .steps = 160});
  const Ragged batch = uniform({random_tokens(24, 61), random_tokens(24, 62)});
  for (const LayerTrace& layer : look(*made, batch, Routing::inference, nullptr, 12).layers) {
    EXPECT_LT(layer.capacity, 1);
    EXPECT_EQ(std::count(layer.entered.begin(), layer.entered.end(), 1), 48);
  }
}

// A factor of 1 + alpha · tanh(r) has a gradient at r = 0: the router learns from the first step
// on.
TEST(ToMod, TheRouterLearnsFromTheFirstStep) {
  const auto made = to_mod(*lively_model(dense_config()), {.capacity = 0.25});
  Context ctx{.rows = uniform_rows(2, 24, torch::kCPU)};
  const Ragged batch = uniform({random_tokens(24, 61), random_tokens(24, 62)});
  made->forward(batch.token, ctx).hidden.square().sum().backward();
  for (const auto& router : routers_of(*made)) EXPECT_GT(largest(router->weight.grad()), 0);
}

TEST(ToMod, SaysWhatCannotBeConverted) {
  EXPECT_EQ(message_of(config_named("mod_predictor"), {}),
            "branch.mod is routed already: only a dense model can be made a Mixture-of-Depths");
  EXPECT_EQ(message_of(config_named("mom"), {}),
            "branch.mha is routed already: only a dense model can be made a Mixture-of-Depths");
  EXPECT_EQ(message_of(dense_config(), {.layers = {.every = 9, .offset = 8}}),
            "no layer is chosen: the model has 4, and the first would be layer 8");
  EXPECT_EQ(message_of(dense_config(), {.capacity = 1.5}),
            "[to_mod] capacity must be above 0 and at most 1 but is 1.5");
}

}  // namespace
}  // namespace pointwork::test
