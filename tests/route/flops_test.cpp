// What a branch costs: FLOPs by hand, and the memory that autograd really keeps.
#include "pointwork/route/flops.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include "pointwork/model/model.h"
#include "tests/support/models.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

// One layer of width 8.
std::shared_ptr<Model> model_of(const std::string& layer, const std::string& route = "") {
  return std::make_shared<Model>(parse_config(
      "[model]\nvocab_size = 61\nhidden_size = 8\nnum_hidden_layers = 1\nlayers = [\"" + layer +
          "\"]\n" + R"(
[branch.attention]
kind = "attention"
num_attention_heads = 2
num_key_value_heads = 1
head_dim = 3
[branch.biased]
kind = "attention"
num_attention_heads = 2
qkv_bias = true
output_bias = true
[branch.mlp]
kind = "mlp"
intermediate_size = 20
[branch.swiglu]
kind = "mlp"
intermediate_size = 20
hidden_act = "swiglu"
bias = true
[branch.dense]
kind = "chain"
of = ["attention", "mlp"]
[branch.mod]
kind = "routed"
of = "dense"
route = { )" +
          route + R"( }
[branch.outer]
kind = "routed"
of = "mod"
route = { capacity = 0.5, decode = "router" }
[branch.twice]
kind = "repeat"
of = "mod"
times = 2
)",
      "small.toml"));
}

std::map<std::string, FlopPart> parts_of(const Model& model, Extent extent) {
  size_t next = 0;
  if (extent.entered) extent.next_entered = &next;
  FlopParts parts;
  model.layers()[0]->flops(extent, "x", parts);
  if (extent.entered) {
    EXPECT_EQ(next, extent.entered->size());
  }
  std::map<std::string, FlopPart> named;
  for (const FlopPart& part : parts) named[part.name] = part;
  EXPECT_EQ(named.size(), parts.size());
  return named;
}

TEST(Flops, OfAnExtent) {
  const Extent extent{.rows = {3, 5}, .past = {2, 7}, .root_rows = 16};
  EXPECT_EQ(extent.total(), 8);
  EXPECT_EQ(extent.share(), 0.5);
  EXPECT_EQ(extent.pairs(), 1 + 2 + 3 + 3 * 2 + 1 + 2 + 3 + 4 + 5 + 5 * 7);
  EXPECT_EQ(extent.masked_pairs(), 3 * 3 - 6 + 5 * 5 - 15);
}

TEST(Flops, OfAttention) {
  const auto model = model_of("attention");
  const auto parts = parts_of(*model, {.rows = {3, 5}, .root_rows = 16});
  ASSERT_EQ(parts.size(), 4u);
  // Two query heads, one for keys and one for values, of 3 each; a multiply-add is 2.
  EXPECT_EQ(parts.at("x.qkv").flops, 2.0 * (4 * 3 * 8) * 8);
  EXPECT_EQ(parts.at("x.qkv").parameters, 4 * 3 * 8);
  EXPECT_EQ(parts.at("x.qkv").active, 4 * 3 * 8 * 0.5);
  // Each pair is a dot product of 3 and a sum of 3, in each of 2 heads.
  EXPECT_EQ(parts.at("x.pairs").flops, 2 * (2.0 * 3 + 2.0 * 3) * (6 + 15));
  EXPECT_EQ(parts.at("x.pairs").masked, 2 * (2.0 * 3 + 2.0 * 3) * (3 + 10));
  EXPECT_EQ(parts.at("x.pairs").parameters, 0);
  EXPECT_EQ(parts.at("x.output").flops, 2.0 * (8 * 6) * 8);
  EXPECT_EQ(parts.at("x.norms").flops, 0);
  EXPECT_EQ(parts.at("x.norms").parameters, 8 + 8);
  const auto more = parts_of(*model, {.rows = {3, 5}, .past = {2, 0}, .root_rows = 16});
  EXPECT_EQ(more.at("x.pairs").flops, 2 * (2.0 * 3 + 2.0 * 3) * (6 + 15 + 3 * 2));
  EXPECT_EQ(more.at("x.qkv").flops, parts.at("x.qkv").flops);
  EXPECT_EQ(model->layers()[0]->cached_values_per_token(0), 2 * 3);
  // Biases are parameters, not work.
  const auto biased = parts_of(*model_of("biased"), {.rows = {1}, .root_rows = 1});
  EXPECT_EQ(biased.at("x.qkv").flops, 2.0 * 24 * 8);
  EXPECT_EQ(biased.at("x.qkv").parameters, 24 * 8 + 24);
  EXPECT_EQ(biased.at("x.output").parameters, 8 * 8 + 8);
}

TEST(Flops, OfAnMlp) {
  const auto plain = parts_of(*model_of("mlp"), {.rows = {4}, .root_rows = 8});
  EXPECT_EQ(plain.at("x.up").flops, 2.0 * 20 * 8 * 4);
  EXPECT_EQ(plain.at("x.down").flops, 2.0 * 20 * 8 * 4);
  EXPECT_EQ(plain.at("x.up").active, 20 * 8 * 0.5);
  const auto gated = parts_of(*model_of("swiglu"), {.rows = {4}, .root_rows = 4});
  EXPECT_EQ(gated.at("x.up").flops, 2.0 * 40 * 8 * 4);
  EXPECT_EQ(gated.at("x.up").parameters, 40 * 8 + 40);
  EXPECT_EQ(gated.at("x.down").parameters, 20 * 8 + 8);
}

TEST(Flops, OfARoutedBranchInTraining) {
  const auto model = model_of("mod", "capacity = 0.3");
  // ⌈0.3 · 10⌉ and ⌈0.3 · 5⌉ slots.
  const auto parts = parts_of(*model, {.rows = {10, 5}, .root_rows = 15});
  EXPECT_EQ(parts.at("x.router").flops, 2.0 * 8 * 15);
  EXPECT_EQ(parts.at("x.router").parameters, 8);
  EXPECT_EQ(parts.at("x.router.predictor").flops, 2.0 * (4 * 8 + 4) * 15);
  EXPECT_EQ(parts.at("x.router.predictor").parameters, 4 * 8 + 4 + 4 + 1);
  EXPECT_EQ(parts.at("x.body.mlp.up").flops, 2.0 * 160 * (3 + 2));
  EXPECT_DOUBLE_EQ(parts.at("x.body.mlp.up").active, 160 * 5.0 / 15);
  EXPECT_EQ(parts.at("x.body.attention.pairs").flops, 24.0 * (6 + 3));
  const auto bound = parts_of(*model, {.rows = {10, 5}, .kind = FlopKind::bound, .root_rows = 15});
  for (const auto& [name, part] : parts) EXPECT_EQ(bound.at(name).flops, part.flops) << name;
}

TEST(Flops, OfARoutedBranchAtInference) {
  const auto model = model_of("mod", "capacity = 0.25, decode = \"router\"");
  const Extent extent{
      .rows = {8, 2}, .past = {4, 16}, .routing = Routing::inference, .root_rows = 10};
  // The target share of rows and of what they see.
  const auto expected = parts_of(*model, extent);
  EXPECT_EQ(expected.count("x.router.predictor"), 0u);
  EXPECT_EQ(expected.at("x.router").flops, 2.0 * 8 * 10);
  EXPECT_EQ(expected.at("x.body.mlp.up").flops, 2.0 * 160 * 2.5);
  EXPECT_EQ(expected.at("x.body.attention.pairs").flops,
            24 * (2.0 * 3 / 2 + 2 * 1 + 0.5 * 1.5 / 2 + 0.5 * 4));
  // All rows, where a choice is causal.
  Extent bound = extent;
  bound.kind = FlopKind::bound;
  EXPECT_EQ(parts_of(*model, bound).at("x.body.mlp.up").flops, 2.0 * 160 * 10);
  EXPECT_EQ(parts_of(*model, bound).at("x.body.attention.pairs").flops,
            24.0 * (36 + 8 * 4 + 3 + 2 * 16));
  // Those that entered.
  const std::vector<Entered> entered = {{.rows = {3, 0}, .pairs = {}}};
  Extent measured = extent;
  measured.past = {};
  measured.entered = &entered;
  EXPECT_EQ(parts_of(*model, measured).at("x.body.mlp.up").flops, 2.0 * 160 * 3);
  EXPECT_EQ(parts_of(*model, measured).at("x.body.attention.pairs").flops, 24.0 * 6);
  EXPECT_EQ(parts_of(*model, measured).at("x.router").flops, 2.0 * 8 * 10);
}

TEST(Flops, AtCapacityOneOfEveryRowAndNoPredictor) {
  const auto model = model_of("mod", "capacity = 1.0");
  for (const Routing routing : {Routing::training, Routing::inference}) {
    const auto parts = parts_of(*model, {.rows = {10, 5}, .routing = routing, .root_rows = 15});
    EXPECT_EQ(parts.at("x.body.mlp.up").flops, 2.0 * 160 * 15);
    EXPECT_EQ(parts.at("x.router").flops, 2.0 * 8 * 15);
    EXPECT_EQ(parts.at("x.router.predictor").flops, 0);
    EXPECT_EQ(parts.at("x.router.predictor").parameters, 4 * 8 + 4 + 4 + 1);
    EXPECT_EQ(parts.at("x.router.predictor").active, 0);
  }
}

TEST(Flops, FollowTheScheduleOfACapacity) {
  const auto model = model_of(
      "mod", "capacity = 0.25, capacity_schedule = { start = 1.0, steps = 8, values = 4 }");
  for (const auto& [step, rows] :
       {std::pair{0, 8.0}, std::pair{3, 6.0}, std::pair{6, 4.0}, std::pair{8, 2.0}}) {
    const auto parts = parts_of(*model, {.rows = {8}, .step = step, .root_rows = 8});
    EXPECT_EQ(parts.at("x.body.mlp.up").flops, 2.0 * 160 * rows) << step;
  }
}

TEST(Flops, OfNestedAndRepeatedRoutes) {
  const auto nested = model_of("outer", "capacity = 0.5, decode = \"router\"");
  const auto parts = parts_of(*nested, {.rows = {10}, .root_rows = 10});
  EXPECT_EQ(parts.at("x.router").flops, 2.0 * 8 * 10);
  EXPECT_EQ(parts.at("x.body.router").flops, 2.0 * 8 * 5);
  EXPECT_EQ(parts.at("x.body.body.mlp.up").flops, 2.0 * 160 * 3);
  // Where no row took the outer block, the inner made no route.
  const std::vector<Entered> none = {{.rows = {0}, .pairs = {}}},
                             some = {{.rows = {4}, .pairs = {}}, {.rows = {1}, .pairs = {}}};
  Extent extent{.rows = {10}, .routing = Routing::inference, .root_rows = 10, .entered = &none};
  EXPECT_EQ(parts_of(*nested, extent).at("x.body.body.mlp.up").flops, 0);
  extent.entered = &some;
  EXPECT_EQ(parts_of(*nested, extent).at("x.body.router").flops, 2.0 * 8 * 4);
  EXPECT_EQ(parts_of(*nested, extent).at("x.body.body.mlp.up").flops, 2.0 * 160);
  // Each round has rows of its own; its weights count once.
  const auto repeated = model_of("twice", "capacity = 0.5");
  extent.entered = &some;
  const auto rounds = parts_of(*repeated, extent);
  EXPECT_EQ(rounds.at("x.body.mlp.up").flops, 2.0 * 160 * (4 + 1));
  EXPECT_EQ(rounds.at("x.router").flops, 2.0 * 8 * (10 + 10));
  EXPECT_EQ(rounds.at("x.body.mlp.up").parameters, 160);
}

// Bytes of tensors made on this thread that still live.
class Meter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    live_ += size;
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t live() const { return live_; }

 private:
  int64_t live_ = 0;
};

// Bytes that live once `layer` has run on 1,024 rows of `width` values.
double kept_by(Branch& layer, int64_t width, torch::Dtype dtype) {
  const Tensor x = normal({2 * 512, width}, 1, dtype).set_requires_grad(true);
  Context ctx{.rows = uniform_rows(2, 512, torch::kCPU), .training = true};
  const auto meter = std::make_shared<Meter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  const Output out = layer.add_to(x, ctx);
  return static_cast<double>(meter->live());
}

// Of a top-1 layer at most 1.3 times the dense mlp's; and nothing of the size [T, E, C] anywhere.
TEST(KeptBytes, OfExpertsAreThoseOfOneMlpAndALittle) {
  for (const int64_t experts : {8, 32}) {
    Config config = parse_config(concat(R"([model]
vocab_size = 61
hidden_size = 256
num_hidden_layers = 2
layers = ["mlp", "experts"]
[branch.mlp]
kind = "mlp"
[branch.experts]
kind = "routed"
of = "mlp"
route = { choice = "token", num_experts = )",
                                        experts, " }\n"),
                                 "test.toml");
    for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
      Model model(config);
      for (const Tensor& p : model.parameters()) p.detach().normal_(0, 0.02);
      convert(model, dtype, torch::kCPU);
      const double dense = kept_by(*model.layers()[0], 256, dtype),
                   sparse = kept_by(*model.layers()[1], 256, dtype);
      RecordProperty(concat("ratio_", experts, "_", dtype), concat(sparse / dense));
      EXPECT_LE(sparse / dense, 1.3) << experts << " experts, " << dtype;
    }
  }
}

// What a branch says it keeps is what lives once its forward pass is over.
TEST(KeptBytes, AreWhatAutogradKeeps) {
  for (const NamedConfig& one : all_configs()) {
    for (const torch::Dtype dtype : {torch::kFloat32, torch::kBFloat16}) {
      Config config = one.config;
      config.model.hidden_size = 96;
      Model model(config);
      for (const Tensor& p : model.parameters()) p.detach().normal_(0, 0.02);
      convert(model, dtype, torch::kCPU);
      const Tensor x = normal({2 * 128, 96}, 1, dtype).set_requires_grad(true);
      Context ctx{.rows = uniform_rows(2, 128, torch::kCPU), .training = true};
      const Extent extent{.rows = {128, 128}};
      double estimate = 0;
      for (const BranchPtr& layer : model.layers())
        estimate += layer->kept_bytes(extent, static_cast<double>(elementSize(dtype)));
      const auto meter = std::make_shared<Meter>();
      const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
      Tensor stream = x;
      std::vector<Route> routes;
      for (const BranchPtr& layer : model.layers()) {
        Output out = layer->add_to(stream, ctx);
        stream = out.delta;
        for (Route& route : out.routes) routes.push_back(std::move(route));
      }
      const auto kept = static_cast<double>(meter->live());
      EXPECT_NEAR(estimate / kept, 1, 0.1)
          << one.name << ", " << dtype << ": " << estimate << " said, " << kept << " kept";
    }
  }
}

}  // namespace
}  // namespace pointwork::test
