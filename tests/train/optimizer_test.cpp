#include "pointwork/train/optimizer.h"

#include <torch/optim/adamw.h>

#include <limits>
#include <set>

#include "tests/support/lively.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kRate = 1e-2;

using Gradients = std::map<std::string, Tensor>;

// N(0, spread²) for each parameter of the model, by seed.
Gradients random_gradients(const Model& model, uint64_t seed, double spread = 1) {
  Gradients made;
  for (const auto& item : model.named_parameters()) {
    made[item.key()] =
        normal(item.value().sizes(), stream_key(seed, item.key()), torch::kFloat64, spread)
            .to(item.value().scalar_type());
  }
  return made;
}

void give(Model& model, const Gradients& gradients) {
  for (auto& item : model.named_parameters()) {
    const auto found = gradients.find(item.key());
    if (found != gradients.end()) item.value().mutable_grad() = found->second.clone();
  }
}

std::map<std::string, Tensor> copies(const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, Tensor> made;
  for (const auto& [name, tensor] : tensors) made[name] = tensor.detach().clone();
  return made;
}

std::map<std::string, Tensor> weights(const Model& model) {
  std::map<std::string, Tensor> made;
  for (const auto& item : model.named_parameters()) made[item.key()] = item.value().detach();
  return made;
}

void expect_same_bits(const std::map<std::string, Tensor>& got,
                      const std::map<std::string, Tensor>& want,
                      const std::set<std::string>& but = {}) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, tensor] : want) {
    if (but.count(name)) continue;
    EXPECT_TRUE(same_bits(got.at(name), tensor)) << name;
  }
}

// A model and its optimizer, fed with gradients as if a backward pass had left them.
struct Fed {
  explicit Fed(OptimizerConfig config = {}, GuardConfig guard = {},
               torch::Dtype dtype = torch::kFloat32, const std::string& name = "mod_predictor")
      : model(lively_model(config_named(name), dtype)), optimizer(*model, config, guard) {}

  UpdateResult step(const Gradients& gradients, double loss = 1, double rate = kRate) {
    give(*model, gradients);
    optimizer.accumulate();
    return optimizer.step(rate, torch::tensor(static_cast<float>(loss)));
  }
  std::map<std::string, Tensor> state() const { return copies(optimizer.state()); }

  std::shared_ptr<Model> model;
  Optimizer optimizer;
};

bool decays(const Tensor& weight) { return weight.dim() >= 2; }

// Loshchilov and Hutter's algorithm 2 in float64, with the decay of torch (by the learning rate).
struct Reference {
  Tensor w, m, v;
  int64_t t = 0;
  void step(const Tensor& g, const OptimizerConfig& c, double decay, double rate) {
    ++t;
    m = c.beta1 * m + (1 - c.beta1) * g;
    v = c.beta2 * v + (1 - c.beta2) * g * g;
    const Tensor m_hat = m / (1 - std::pow(c.beta1, t)), v_hat = v / (1 - std::pow(c.beta2, t));
    w = w - rate * decay * w - rate * m_hat / (v_hat.sqrt() + c.eps);
  }
};

// After k steps in float32, u = 2^-24: each step rounds w three times; m and v carry at most 3k
// roundings of their largest term, and |g| / sqrt(v) is at most 1 / sqrt(1 - beta2).
Tensor bound_after(int64_t k, const Tensor& w, const OptimizerConfig& c, double rate) {
  const auto n = static_cast<double>(k);
  const double moved = rate / std::sqrt(1 - c.beta2) * (3 * n + 6);
  return n * 0x1p-24 * (3 * w.abs() + moved);
}

TEST(Optimizer, EqualsFloat64AndTorchsAdamW) {
  const OptimizerConfig config{.weight_decay = 0.3, .gradient_clip = 0};
  Fed fed(config);
  std::map<std::string, Reference> reference;
  std::map<std::string, Tensor> theirs;
  std::vector<Tensor> matrices, others;
  for (const auto& [name, weight] : weights(*fed.model)) {
    const Tensor wide = weight.to(torch::kFloat64);
    reference[name] = {wide.clone(), torch::zeros_like(wide), torch::zeros_like(wide)};
    theirs[name] = weight.clone().set_requires_grad(true);
    (decays(weight) ? matrices : others).push_back(theirs[name]);
  }
  const auto options = [&](double decay) {
    return std::make_unique<torch::optim::AdamWOptions>(torch::optim::AdamWOptions(kRate)
                                                            .betas({config.beta1, config.beta2})
                                                            .eps(config.eps)
                                                            .weight_decay(decay));
  };
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(matrices, options(config.weight_decay));
  groups.emplace_back(others, options(0));
  torch::optim::AdamW torchs(groups, torch::optim::AdamWOptions(kRate));

  constexpr int64_t kSteps = 7, kLate = 3;
  for (int64_t step = 0; step < kSteps; ++step) {
    Gradients gradients =
        random_gradients(*fed.model, 10 + static_cast<uint64_t>(step), step == 2 ? 1e-6 : 0.1);
    // As with a capacity that starts at 1: until then a predictor has nothing to learn.
    if (step < kLate)
      std::erase_if(gradients, [](const auto& item) { return is_predictor(item.first); });
    fed.step(gradients);
    for (auto& [name, leaf] : theirs)
      leaf.mutable_grad() = gradients.count(name) ? gradients[name].clone() : Tensor();
    torchs.step();
    for (const auto& [name, gradient] : gradients) {
      reference[name].step(gradient.to(torch::kFloat64), config,
                           decays(gradient) ? config.weight_decay : 0, kRate);
    }
  }
  for (const auto& [name, weight] : weights(*fed.model)) {
    const Tensor& want = reference[name].w;
    const Tensor bound = bound_after(kSteps, want, config, kRate);
    expect_within(name, weight, want, bound);
    expect_within(name + ", torch", theirs[name], want, bound);
  }
}

TEST(Optimizer, OnlyMatricesDecay) {
  Fed fed({.weight_decay = 0.5, .gradient_clip = 0});
  const auto before = copies(weights(*fed.model));
  Gradients zero = random_gradients(*fed.model, 1, 0);
  fed.step(zero, 1, 0.25);
  int64_t decayed = 0, kept = 0;
  for (const auto& [name, weight] : weights(*fed.model)) {
    const bool matrix =
        name == "embedding" || name == "position" || name.ends_with(".qkv") ||
        (name.ends_with(".output") && name.find("predictor") == std::string::npos) ||
        name.ends_with(".up") || name.ends_with(".down") || name.ends_with("predictor.hidden");
    const Tensor want = matrix ? before.at(name) * (1 - 0.25 * 0.5) : before.at(name);
    EXPECT_TRUE(torch::equal(weight, want)) << name;
    ++(matrix ? decayed : kept);
  }
  EXPECT_GT(decayed, 10);
  EXPECT_GT(kept, 10);  // norms, biases, routers
}

// Moments are linear in the clipped gradient; AdamW's step would hide its scale.
TEST(Optimizer, ClipsTheLanguageModelAndPredictorsApart) {
  for (const bool large_predictor : {false, true}) {
    const OptimizerConfig config{.gradient_clip = 2};
    Fed fed(config);
    Gradients gradients = random_gradients(*fed.model, 5, 0.001);
    double squares[2] = {0, 0};
    for (auto& [name, gradient] : gradients) {
      if (is_predictor(name) == large_predictor) gradient.mul_(1e5);
      squares[is_predictor(name)] += gradient.to(torch::kFloat64).square().sum().item<double>();
    }
    const UpdateResult result = fed.step(gradients);
    const double norm[2] = {std::sqrt(squares[0]), std::sqrt(squares[1])};
    const double n = static_cast<double>(fed.model->parameter_count());
    const double eps = 4 * std::sqrt(n) * 0x1p-23;
    EXPECT_NEAR(result.grad_norm.item<double>(), norm[0], eps * norm[0]);
    EXPECT_NEAR(result.predictor_grad_norm.item<double>(), norm[1], eps * norm[1]);
    ASSERT_GT(norm[large_predictor], config.gradient_clip);
    ASSERT_LT(norm[!large_predictor], config.gradient_clip);
    const auto state = fed.state();
    for (const auto& [name, gradient] : gradients) {
      const double scale = std::min(1.0, config.gradient_clip / norm[is_predictor(name)]);
      const Tensor want = gradient.to(torch::kFloat64) * scale * (1 - config.beta1);
      expect_within(name, state.at("first." + name), want, eps * want.abs());
    }
  }
}

TEST(Optimizer, SumsMicroBatchesAndClearsTheirGradients) {
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
    Fed fed({.gradient_clip = 0}, {}, dtype);
    const Gradients a = random_gradients(*fed.model, 1), b = random_gradients(*fed.model, 2);
    give(*fed.model, a);
    fed.optimizer.accumulate();
    for (const auto& item : fed.model->named_parameters())
      EXPECT_FALSE(item.value().grad().defined()) << item.key();
    fed.step(b);
    Gradients c;
    const auto state = fed.state();
    for (const auto& [name, gradient] : a) {
      const Tensor sum = gradient.to(torch::kFloat32) + b.at(name).to(torch::kFloat32);
      const Tensor want = sum.to(torch::kFloat64) * 0.1;
      expect_within(name, state.at("first." + name), want, 0x1p-22 * want.abs());
    }
  }
}

// Steps far below bfloat16's resolution add up in the masters.
TEST(Optimizer, Bfloat16KeepsFloat32Masters) {
  const OptimizerConfig config{.weight_decay = 0.1};
  Fed half(config, {}, torch::kBFloat16), full(config);
  {
    const torch::NoGradGuard no_grad;
    const auto theirs = weights(*half.model);
    for (auto& item : full.model->named_parameters()) item.value().copy_(theirs.at(item.key()));
  }
  full.optimizer = Optimizer(*full.model, config, {});
  const auto start = copies(weights(*half.model));
  const Gradients gradients = random_gradients(*half.model, 3);
  Gradients wide;
  for (const auto& [name, gradient] : gradients) wide[name] = gradient.to(torch::kFloat32);
  for (int step = 0; step < 50; ++step) {
    half.step(gradients, 1, 1e-5);
    full.step(wide, 1, 1e-5);
  }
  const auto state = half.state();
  int64_t masters = 0, moved = 0, values = 0;
  for (const auto& [name, weight] : weights(*half.model)) {
    const Tensor want = weights(*full.model).at(name);
    if (weight.scalar_type() == torch::kFloat32) {
      EXPECT_NE(name.find(".router."), std::string::npos) << name;
      EXPECT_EQ(state.count("master." + name), 0u) << name;
      EXPECT_TRUE(same_bits(weight, want)) << name;
      continue;
    }
    ++masters;
    ASSERT_EQ(state.count("master." + name), 1u) << name;
    EXPECT_TRUE(same_bits(state.at("master." + name), want)) << name;
    EXPECT_TRUE(same_bits(weight, want.to(torch::kBFloat16))) << name;
    moved += weight.ne(start.at(name)).sum().item<int64_t>();
    values += weight.numel();
  }
  EXPECT_GT(masters, 10);
  EXPECT_GT(moved, values / 20);  // 50 steps of 1e-5 cross the resolution near small weights
}

// Of a model that was dense: routers and predictors learn, every other weight keeps its bits.
TEST(Optimizer, CanTrainRoutersAlone) {
  const auto model = lively_model(config_named("mod_predictor"));
  Optimizer optimizer(*model, {.trains = Trains::routers}, {});
  const auto before = copies(weights(*model));
  Context ctx{.rows = uniform_rows(2, 24, torch::kCPU), .training = true};
  const Ragged batch = uniform({random_tokens(24, 1), random_tokens(24, 2)});
  const ModelOutput out = model->forward(batch.token, ctx);
  Tensor loss = out.hidden.square().sum();
  const auto routers = routers_of(*model);
  for (size_t i = 0; i < routers.size(); ++i) loss = loss + routers[i]->loss(out.routes[i]);
  loss.backward();
  optimizer.accumulate();
  optimizer.step(kRate, loss);
  int64_t moved = 0;
  for (const auto& [name, weight] : weights(*model)) {
    const bool router = name.find(".router.") != std::string::npos;
    EXPECT_EQ(same_bits(weight, before.at(name)), !router) << name;
    moved += router;
  }
  EXPECT_EQ(moved, 2 * 5);
  EXPECT_EQ(optimizer.state().count("first.layers.0.mlp.up"), 0u);
  const auto dense = lively_model(config_named("dense"));
  EXPECT_THROW(Optimizer(*dense, {.trains = Trains::routers}, {}), Error);
}

struct Bad {
  const char* name;
  double gradient;   // put into one element
  const char* into;  // of this parameter
  double loss;
};

class Guarded : public testing::TestWithParam<Bad> {};

// What a bad step leaves is what would be there without it, and the next good step too.
TEST_P(Guarded, ABadStepChangesNothing) {
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
    Fed with({}, {}, dtype), without({}, {}, dtype);
    const Bad bad = GetParam();
    for (uint64_t step = 0; step < 22; ++step) {
      const Gradients gradients = random_gradients(*with.model, step);
      EXPECT_EQ(with.step(gradients).skipped.item<float>(), 0) << step;
      without.step(gradients);
      if (step != 0 && step != 20) continue;
      if (step == 0 && std::isfinite(bad.gradient) && std::isfinite(bad.loss))
        continue;  // no average to be a spike of yet
      const auto before = copies(weights(*with.model)), state = with.state();
      for (int again = 1; again <= 3; ++again) {
        Gradients wrong = random_gradients(*with.model, 90);
        if (bad.into) wrong.at(bad.into).flatten()[1].fill_(bad.gradient);
        const UpdateResult result = with.step(wrong, bad.loss);
        EXPECT_EQ(result.skipped.item<float>(), 1);
        EXPECT_EQ(result.skipped_in_row.item<float>(), again);
      }
      expect_same_bits(weights(*with.model), before);
      expect_same_bits(with.state(), state, {"skipped_in_row"});
    }
    expect_same_bits(weights(*with.model), weights(*without.model));
    expect_same_bits(with.state(), without.state());
    EXPECT_EQ(with.state().at("accepted").item<float>(), 22);
    EXPECT_EQ(with.state().at("skipped_in_row").item<float>(), 0);
  }
}

const char* kLanguage = "layers.0.mlp.up";
const char* kPredictor = "layers.1.router.predictor.hidden";
INSTANTIATE_TEST_SUITE_P(
    Kinds, Guarded,
    testing::Values(Bad{"nan", kNan, kLanguage, 1}, Bad{"inf", kInf, kLanguage, 1},
                    Bad{"minus_inf", -kInf, "embedding", 1},
                    Bad{"predictor_nan", kNan, kPredictor, 1},
                    Bad{"predictor_inf", kInf, kPredictor, 1}, Bad{"nan_loss", 0, nullptr, kNan},
                    Bad{"inf_loss", 0, nullptr, kInf}, Bad{"spike", 1e6, kLanguage, 1}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Guard, SpikesAreJudgedAgainstTheAverageOnceItMeansSomething) {
  for (const double factor : {0.0, 3.0, 20.0}) {
    Fed fed({}, {.spike_factor = factor});
    const auto jump = [&](double times) {
      return fed.step(random_gradients(*fed.model, 7, times)).skipped.item<float>() != 0;
    };
    EXPECT_FALSE(jump(1));
    EXPECT_FALSE(jump(1000)) << "the first steps are no measure";
    for (int step = 0; step < 200; ++step) EXPECT_FALSE(jump(1)) << step;
    EXPECT_FALSE(jump(2.5));
    for (int step = 0; step < 40; ++step) EXPECT_FALSE(jump(1));
    EXPECT_EQ(jump(10), factor == 3);
    for (int step = 0; step < 40; ++step) EXPECT_FALSE(jump(1));
    EXPECT_EQ(jump(1000), factor > 0);
  }
}

// Skipping changes no weight, so a steep place would be seen for ever.
TEST(Guard, ASpikeOnFourBatchesInARowIsTheWeights) {
  Fed fed({}, {.spike_factor = 20});
  const auto jump = [&](double times) {
    return fed.step(random_gradients(*fed.model, 7, times)).skipped.item<float>() != 0;
  };
  for (int step = 0; step < 60; ++step) EXPECT_FALSE(jump(1)) << step;
  const double before = fed.state().at("average_norm").item<double>();
  for (int step = 0; step < 3; ++step) EXPECT_TRUE(jump(1000)) << step;
  EXPECT_FALSE(jump(1000));
  // It counts as 20 times the average, a share of 0.05.
  EXPECT_NEAR(fed.state().at("average_norm").item<double>(), before * (0.95 + 0.05 * 20),
              1e-5 * before);
  EXPECT_TRUE(jump(1000)) << "the next is judged anew";
}

TEST(Optimizer, GoesOnFromItsState) {
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
    Fed first({}, {}, dtype), second({}, {}, dtype);
    for (uint64_t step = 0; step < 3; ++step) first.step(random_gradients(*first.model, step));
    const torch::NoGradGuard no_grad;
    const auto theirs = weights(*first.model);
    for (auto& item : second.model->named_parameters()) item.value().copy_(theirs.at(item.key()));
    second.optimizer.restore(first.state());
    for (uint64_t step = 3; step < 6; ++step) {
      const Gradients gradients = random_gradients(*first.model, step);
      first.step(gradients);
      second.step(gradients);
    }
    expect_same_bits(weights(*second.model), weights(*first.model));
    expect_same_bits(second.state(), first.state());
  }
}

TEST(Optimizer, RefusesAStateThatDoesNotFit) {
  Fed fed;
  const auto before = fed.state();
  auto state = before;
  state.erase("second.layers.0.mlp.up");
  EXPECT_NE(error_of([&] { fed.optimizer.restore(state); }).find("'second.layers.0.mlp.up'"),
            std::string::npos);
  state = before;
  state["first.embedding"] = torch::ones({3, 2});
  const std::string shapes = error_of([&] { fed.optimizer.restore(state); });
  for (const char* part : {"'first.embedding'", "[61, 32]", "[3, 2]"})
    EXPECT_NE(shapes.find(part), std::string::npos) << shapes;
  state = before;
  state["first.embedding"] = torch::ones({61, 32});
  state["master.embedding"] = torch::ones({61, 32});
  EXPECT_NE(error_of([&] { fed.optimizer.restore(state); }).find("'master.embedding'"),
            std::string::npos);
  expect_same_bits(fed.state(), before);  // refused before anything was taken
}

}  // namespace
}  // namespace pointwork::test
