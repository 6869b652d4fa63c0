#include "pointwork/train/objective.h"

#include "pointwork/route/losses.h"
#include "pointwork/train/step_record.h"
#include "tests/train/cases.h"

namespace pointwork::test {
namespace {

constexpr int64_t kLength = 24;

// The first `sequences` windows of a split.
Batch windows(const Dataset& dataset, Split split, int64_t first, int64_t sequences) {
  Batch batch{.sequences = sequences, .length = kLength};
  const auto size = static_cast<size_t>(sequences * kLength);
  batch.input.resize(size), batch.target.resize(size), batch.document.resize(size);
  batch.sequence.resize(static_cast<size_t>(sequences));
  batch.valid.resize(static_cast<size_t>(sequences));
  for (int64_t row = 0; row < sequences; ++row) dataset.read(split, first + row, row, batch);
  return batch;
}

Losses losses_of(Model& model, const Batch& batch, BatchOptions options = {}, double z_loss = 0,
                 int64_t step = kSettled) {
  Context ctx{.training = true, .step = step, .seed = 5};
  return compute_losses(model, to_tensors(batch, torch::kCPU, options), ctx, z_loss);
}

// -log p of every target in float64, 0 where there is none. [T]
Tensor nll(Model& model, const Batch& batch, const EvaluateOptions& options) {
  const torch::NoGradGuard no_grad;
  Context ctx{.routing = options.routing, .step = options.step, .seed = options.seed};
  const BatchTensors tensors =
      to_tensors(batch, torch::kCPU, {.document_mask = options.document_mask});
  ctx.rows = tensors.rows;
  const Tensor logits = model.logits(model.forward(tensors.input, ctx).hidden).to(torch::kFloat64);
  const Tensor target = tensors.target.to(torch::kInt64);
  const Tensor log_p = logits.log_softmax(1).gather(1, target.clamp_min(0).unsqueeze(1));
  return -log_p.squeeze(1) * target.ge(0);
}

// The logits' own roundings: four blocks of sums of 128, then 32 and 257 in float32.
constexpr double kTolerance = 1e-4;

class ObjectiveTest : public testing::Test {
 protected:
  int64_t ragged() const { return data_.dataset.windows(Split::train, kLength) - 1; }
  ByteData data_;
};

TEST_F(ObjectiveTest, DecisionsAreWeighedAsTheConfigSays) {
  const Batch batch = windows(data_.dataset, Split::train, 0, 3);
  const struct {
    const char* name;
    std::vector<Override> keys;
    double weight;
    int64_t step;
  } cases[] = {
      {"dense", {}, 0, kSettled},
      {"mod_predictor", {{"branch.mod.route.decode_loss_weight", "0.5"}}, 1, kSettled},
      {"mod_router", {}, 0.01, kSettled},
      {"mod_router", {{"branch.mod.route.decode_loss_weight", "0.5"}}, 0.5, kSettled},
      {"mod_router", {{"branch.mod.route.decode_loss_weight", "0"}}, 0, kSettled},
      {"mod_random", {}, 0, kSettled},
      {"mod_threshold", {}, 0, kSettled},
      {"mod_whole", {}, 0, kSettled},
      {"mod_scheduled", {}, 0, 0},  // the capacity is 1 yet
      {"mod_scheduled", {}, 1, 8},
      {"mod_nested", {}, 1, kSettled},
      {"repeated", {}, 1, kSettled},
  };
  for (const auto& one : cases) {
    const auto model = lively_model(byte_config(one.name, one.keys));
    const Losses losses = losses_of(*model, batch, {}, 0, one.step);
    double extra = 0;
    for (const Route& route : losses.routes) {
      if (one.weight > 0) extra += one.weight * decision_loss(route).item<double>();
    }
    const double language = losses.language.item<double>();
    EXPECT_NEAR(losses.total.item<double>(), language + extra, 1e-6 * (language + extra))
        << one.name;
    EXPECT_EQ(extra > 0, one.weight > 0) << one.name;
    EXPECT_FALSE(losses.language.requires_grad());
    EXPECT_EQ(losses.count.item<int64_t>(), 3 * kLength);
    EXPECT_NEAR(losses.nll_sum.item<double>() / (3 * kLength), language, 1e-6 * language);
  }
}

TEST_F(ObjectiveTest, ZLossIsPartOfTheLanguageModelsLoss) {
  const Batch batch = windows(data_.dataset, Split::train, 0, 2);
  const auto model = lively_model(byte_config("dense"));
  const BatchTensors tensors = to_tensors(batch, torch::kCPU);
  Context ctx{.rows = tensors.rows};
  const Tensor z =
      model->logits(model->forward(tensors.input, ctx).hidden).to(torch::kFloat64).logsumexp(1);
  const double plain = losses_of(*model, batch).language.item<double>();
  const Losses with = losses_of(*model, batch, {}, 0.25);
  EXPECT_NEAR(with.language.item<double>(), plain + 0.25 * z.square().mean().item<double>(),
              kTolerance);
  EXPECT_NEAR(with.nll_sum.item<double>() / (2 * kLength), plain, kTolerance);
}

TEST_F(ObjectiveTest, PaddingIsSeenByNobody) {
  Batch batch = windows(data_.dataset, Split::train, ragged() - 1, 2);
  ASSERT_LT(batch.valid[1], kLength);
  ASSERT_FALSE(
      to_tensors(windows(data_.dataset, Split::train, 0, 2), torch::kCPU).rows.valid.defined());
  for (const char* name : {"dense", "mod_predictor", "mod_router", "mod_nested"}) {
    const auto model = lively_model(byte_config(name));
    const Losses before = losses_of(*model, batch);
    Batch other = batch;
    for (int64_t i = batch.valid[1]; i < kLength; ++i)
      other.input[static_cast<size_t>(kLength + i)] = static_cast<int32_t>(40 + i);
    const Losses after = losses_of(*model, other);
    EXPECT_EQ(before.count.item<int64_t>(), kLength + batch.valid[1]);
    EXPECT_EQ(before.total.item<double>(), after.total.item<double>()) << name;
    for (const Route& route : before.routes) {
      const Tensor chosen = chosen_rows(route).view({2, -1});
      if (route.shape.rows != 2 * kLength) continue;
      EXPECT_EQ(chosen[1].slice(0, batch.valid[1]).sum().item<int64_t>(), 0) << name;
      EXPECT_EQ(chosen[1].sum().item<int64_t>(),
                std::ceil(route.capacity * static_cast<double>(batch.valid[1])))
          << name;
    }
  }
}

TEST_F(ObjectiveTest, DocumentsAreMaskedFromOneAnotherWhenAsked) {
  Batch batch = windows(data_.dataset, Split::train, 0, 8);
  size_t row = 0;  // one whose second document begins well inside
  const auto second = [&](size_t r) {
    for (size_t i = 0; i < kLength; ++i) {
      if (batch.document[r * kLength + i] == 1) return i;
    }
    return static_cast<size_t>(kLength);
  };
  while (second(row) < 2 || second(row) > 20) ASSERT_LT(++row, 8u);
  const size_t begin = row * kLength + second(row), end = (row + 1) * kLength;
  Batch other = batch;
  other.input[row * kLength] ^= 1;
  const auto model = lively_model(byte_config("dense"));
  for (const bool mask : {false, true}) {
    const EvaluateOptions options{.document_mask = mask};
    const Tensor change = nll(*model, batch, options) - nll(*model, other, options);
    const auto part = [&](size_t from, size_t to) {
      return change.slice(0, static_cast<int64_t>(from), static_cast<int64_t>(to))
          .abs()
          .max()
          .item<double>();
    };
    EXPECT_GT(part(row * kLength, begin), 0);
    EXPECT_EQ(part(begin, end) == 0, mask);
    const Losses a = losses_of(*model, batch, {.document_mask = mask});
    EXPECT_NEAR(a.language.item<double>(), nll(*model, batch, options).mean().item<double>(),
                kTolerance);
  }
}

TEST_F(ObjectiveTest, RandomRoutingIsKeyedByPlaceInTheDataSet) {
  const auto model = lively_model(byte_config("mod_random"));
  const Batch both = windows(data_.dataset, Split::train, 3, 2),
              last = windows(data_.dataset, Split::train, 4, 1);
  const Tensor a = losses_of(*model, both).routes[0].logits,
               b = losses_of(*model, last).routes[0].logits;
  EXPECT_TRUE(torch::equal(a.slice(0, kLength), b));
  EXPECT_FALSE(torch::equal(a.slice(0, 0, kLength), b));
}

TEST_F(ObjectiveTest, EvaluationWeighsEveryTokenAlike) {
  const Dataset& data = data_.dataset;
  const int64_t count = data.windows(Split::validation, kLength);
  ASSERT_GE(count, 5);
  ASSERT_NE((data.tokens(Split::validation) - 1) % kLength, 0) << "the last must be ragged";
  for (const char* name : {"dense", "mod_predictor", "mod_threshold", "mod_random"}) {
    const auto model = lively_model(byte_config(name));
    for (const Routing routing : {Routing::training, Routing::inference}) {
      const EvaluateOptions options{
          .routing = routing, .length = kLength, .batch = 3, .step = kSettled, .seed = 5};
      const Evaluation all = evaluate(*model, data, options);
      double sum = 0;
      for (int64_t window = 0; window < count; ++window)
        sum +=
            nll(*model, windows(data, Split::validation, window, 1), options).sum().item<double>();
      const auto tokens = static_cast<double>(data.tokens(Split::validation) - 1);
      EXPECT_EQ(all.tokens, tokens);
      EXPECT_NEAR(all.loss, sum / tokens, kTolerance) << name;
      EXPECT_DOUBLE_EQ(all.perplexity, std::exp(all.loss));
      // Documents of letters end in a token that no byte stands for.
      const double bytes = data.bytes_per_token(Split::validation);
      EXPECT_LT(bytes, 1);
      EXPECT_DOUBLE_EQ(all.bits_per_byte, all.loss / std::log(2) / bytes);

      EvaluateOptions few = options;
      few.sequences = 2;
      EXPECT_EQ(evaluate(*model, data, few).tokens, 2 * kLength);
      few.sequences = 10000;
      EXPECT_EQ(evaluate(*model, data, few).loss, all.loss);
      few.batch = 1;
      EXPECT_NEAR(evaluate(*model, data, few).loss, all.loss, kTolerance);
    }
  }
}

TEST_F(ObjectiveTest, EvaluationTellsWhoWasRouted) {
  const EvaluateOptions training{
      .routing = Routing::training, .length = kLength, .step = kSettled, .seed = 5};
  EvaluateOptions causal = training;
  causal.routing = Routing::inference;
  for (const char* name : {"mod_predictor", "mod_router", "mod_threshold"}) {
    const auto model = lively_model(byte_config(name));
    const Evaluation a = evaluate(*model, data_.dataset, training),
                     b = evaluate(*model, data_.dataset, causal);
    // ⌈0.25 · 24⌉ of 24, and of the ragged window a little more.
    EXPECT_NEAR(a.routed_share, 0.25, 0.01) << name;
    EXPECT_GT(b.routed_share, 0) << name;
    EXPECT_LT(b.routed_share, 1) << name;
    EXPECT_NE(b.routed_share, a.routed_share) << name;
    ASSERT_EQ(a.layers.size(), 2u);
    for (const RouteStats& layer : a.layers) {
      EXPECT_GT(layer.accuracy, 0.25) << name;
      EXPECT_LT(layer.accuracy, 1) << name;
      EXPECT_GT(layer.router_std, 0) << name;
    }
  }
  const auto dense = lively_model(byte_config("dense"));
  const Evaluation none = evaluate(*dense, data_.dataset, causal);
  EXPECT_TRUE(none.layers.empty());
  EXPECT_EQ(none.routed_share, 1);
  EXPECT_EQ(none.decision.accuracy, 1);
}

TEST(Evaluate, SaysWhereThereIsNothingToRead) {
  const ByteData data(3, 0);
  const auto model = lively_model(byte_config("dense"));
  expect_in(error_of([&] { evaluate(*model, data.dataset, {.length = kLength}); }),
            {data.dataset.folder().string(), "validation split has 0 tokens"});
  EXPECT_GT(evaluate(*model, data.dataset, {.split = Split::train, .length = kLength}).tokens, 0);
}

// Where no row takes a block causally, what is routed inside it is not there at all.
TEST(StepRecord, NamesEveryLayerWhateverRanCausally) {
  const ByteData data;
  const auto model = lively_model(byte_config("mod_nested"));
  const torch::NoGradGuard no_grad;
  for (auto& item : model->named_parameters()) {
    if (item.key() == "layers.1.router.predictor.output_bias") item.value().fill_(-1000);
  }
  const EvaluateOptions options{.length = kLength, .step = kSettled};
  EvaluateOptions training = options;
  training.routing = Routing::training;
  StepRecord record{.step = 7, .total_steps = 9, .loss = std::nan("")};
  record.training = evaluate(*model, data.dataset, training);
  record.inference = evaluate(*model, data.dataset, options);
  ASSERT_EQ(record.training->layers.size(), 4u);
  ASSERT_LT(record.inference->layers.size(), 4u);
  const auto json = to_json(record);
  ASSERT_EQ(json.at("layers").size(), 4u);
  std::map<std::string, double> causal;
  for (const auto& layer : json["layers"]) {
    causal[layer.at("layer")] = layer.at("routed_share");
    EXPECT_NEAR(layer.at("capacity").get<double>(), 0.5, 0.03);
    for (const char* key : {"router_mean", "router_std", "agreement", "precision", "recall"})
      EXPECT_TRUE(layer.at(key).is_number()) << key;
  }
  EXPECT_EQ(causal.at("layers.1"), 0);
  EXPECT_EQ(causal.at("layers.1.body.inner"), 0);
  EXPECT_GT(causal.at("layers.3"), 0);
  EXPECT_GT(causal.at("layers.3.body.inner"), 0);
  EXPECT_TRUE(json.at("loss").is_null());  // no JSON number is NaN
}

}  // namespace
}  // namespace pointwork::test
