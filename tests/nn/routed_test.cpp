// Every branch of every config against the grammar written row by row: Mixture-of-Depths' eq. 1
// above all, forward and backward in float64.
#include "pointwork/nn/routed.h"

#include <gtest/gtest.h>

#include "pointwork/model/model.h"
#include "pointwork/ops/rows.h"
#include "tests/nn/reference.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

constexpr int64_t kLength = 12;

struct Variant {
  std::string name;
  Rows rows;
  slow::Pass pass;
};

std::vector<Variant> variants(const Config& config) {
  Rows plain = uniform_rows(2, kLength, torch::kCPU);
  plain.key = torch::tensor({int64_t{40}, int64_t{7}});
  // Documents of 5 rows; the second sequence has 7 rows, then padding of its own document.
  Rows padded = plain;
  padded.valid = plain.position.lt(7).logical_or(plain.sequence.eq(0));
  padded.document =
      plain.position.div(5, "floor").to(torch::kInt32).masked_fill(padded.valid.logical_not(), 9);
  // Sequences of lengths of their own, one of them none, that do not begin at 0.
  const Ragged uneven = ragged({random_tokens(13, 1), random_tokens(4, 2), random_tokens(9, 3)},
                               {3, 4, 2}, {13, 4, 9});
  const slow::Pass training{Routing::training, kSettled, 5},
      inference{Routing::inference, kSettled, 5};
  std::vector<Variant> all = {{"training", plain, training},
                              {"training, documents and padding", padded, training},
                              {"inference, documents and padding", padded, inference},
                              {"inference, ragged", uneven.rows, inference}};
  if (skips_rows(config, 0) != skips_rows(config))
    all.push_back({"training, step 0", plain, {Routing::training, 0, 5}});
  return all;
}

class EveryConfig : public ::testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(Nn, EveryConfig, ::testing::ValuesIn(all_configs()), name_of);
INSTANTIATE_TEST_SUITE_P(Modules, EveryConfig, ::testing::ValuesIn(module_counts()), name_of);

std::vector<Tensor> gradients_of(const Model& model, const Tensor& x, const Tensor& out) {
  for (const Tensor& p : model.parameters()) p.mutable_grad().reset();
  x.mutable_grad().reset();
  out.backward(normal(out.sizes(), 21));
  std::vector<Tensor> all = {x.grad().clone()};
  for (const Tensor& p : model.parameters())
    all.push_back(p.grad().defined() ? p.grad().clone() : torch::zeros_like(p));
  return all;
}

// Layer by layer on the same stream, forward and add_to, with every gradient.
TEST_P(EveryConfig, EqualsTheGrammarRowByRow) {
  const Threads one(1);
  const Config& config = GetParam().config;
  const auto model = lively_model(config, torch::kFloat64);
  const auto names = layer_names(config.model);
  const auto parameters = model->named_parameters();
  for (const Variant& v : variants(config)) {
    const slow::Places places = slow::places_of(v.rows);
    const Tensor x = normal({v.rows.count(), config.model.hidden_size}, 20).set_requires_grad(true);
    Context ctx{.rows = v.rows, .routing = v.pass.routing, .step = v.pass.step, .seed = 5};
    Tensor stream = x, sum = x;
    slow::Stream rows = slow::rows_of(x);
    for (size_t i = 0; i < names.size(); ++i) {
      const BranchPtr& layer = model->layers()[i];
      sum = sum + layer->forward(sum, ctx).delta;
      stream = layer->add_to(stream, ctx).delta;
      rows = slow::plus(rows, slow::delta(config, names[i], *layer, rows, places, v.pass));
    }
    const Tensor want = torch::stack(rows);
    expect_same(v.name + ", forward", sum, want);
    expect_same(v.name + ", add_to", stream, want);
    const auto exact = gradients_of(*model, x, want);
    for (const Tensor& got : {sum, stream}) {
      const auto grads = gradients_of(*model, x, got);
      for (size_t i = 0; i < grads.size(); ++i)
        expect_same(v.name + ", gradient of " + (i == 0 ? "x" : parameters[i - 1].key()), grads[i],
                    exact[i]);
    }
  }
}

// The trunk adds learned positions, so that a routed block meets rows at their original ones.
TEST_P(EveryConfig, TheModelAddsThePositionsOfItsRows) {
  const Threads one(1);
  const Config& config = GetParam().config;
  const auto model = lively_model(config, torch::kFloat64);
  const torch::NoGradGuard no_grad;
  const auto names = layer_names(config.model);
  for (const Variant& v : variants(config)) {
    if (v.rows.document.defined()) continue;
    const slow::Places places = slow::places_of(v.rows);
    const auto token = random_tokens(v.rows.count(), 9);
    slow::Stream rows;
    for (size_t t = 0; t < token.size(); ++t) {
      rows.push_back(model->embedding[token[t]]);
      if (model->position.defined())
        rows.back() = rows.back() + model->position[places[t].position];
    }
    for (size_t i = 0; i < names.size(); ++i)
      rows = slow::plus(rows,
                        slow::delta(config, names[i], *model->layers()[i], rows, places, v.pass));
    for (Tensor& row : rows) row = slow::normed(row, *model->norm, config.model);
    Context ctx{.rows = v.rows, .routing = v.pass.routing, .step = v.pass.step, .seed = 5};
    expect_same(v.name, model->forward(ints(token), ctx).hidden, torch::stack(rows));
  }
}

Config routed_config(const std::string& route, const std::string& attention = "") {
  return small_config("layers = [\"mod\"]\n[branch.attention]\nkind = \"attention\"\n" + attention +
                      "\n[branch.mod]\nkind = \"routed\"\nof = \"attention\"\nroute = { " + route +
                      " }\n");
}

// Rows that were not chosen keep their bits; of those chosen each is changed.
TEST(Routed, OthersGoRoundUntouched) {
  const auto model = lively_model(routed_config("capacity = 0.25"));
  const Tensor x = normal({24, 32}, 1, torch::kFloat32);
  for (const Routing routing : {Routing::training, Routing::inference}) {
    Context ctx{.rows = uniform_rows(2, 12, torch::kCPU), .routing = routing};
    const Output out = model->layers()[0]->add_to(x, ctx);
    const auto token = elements<int32_t>(out.routes[0].token);
    EXPECT_GT(token.size(), 0u);
    EXPECT_LT(token.size(), 24u);
    for (int32_t t = 0; t < 24; ++t) {
      const bool chosen = std::count(token.begin(), token.end(), t) > 0;
      EXPECT_EQ(same_bits(out.delta[t], x[t]), !chosen) << t;
    }
  }
}

// Chosen rows attend at their original positions: moving all of them changes nothing, moving some
// apart does.
TEST(Routed, RotaryPositionsAreTheOriginalOnes) {
  const auto model =
      lively_model(routed_config("capacity = 0.5", "rope_theta = 100.0"), torch::kFloat64);
  const Tensor x = normal({12, 32}, 1);
  const auto run = [&](const Tensor& position) {
    Context ctx{.rows = uniform_rows(1, 12, torch::kCPU)};
    ctx.rows.position = position;
    return model->layers()[0]->forward(x, ctx).delta.detach();
  };
  const Tensor position = torch::arange(12, torch::kInt32);
  const Tensor before = run(position);
  expect_same("moved together", run(position + 5), before);
  EXPECT_GT(largest(run(position * 2) - before), 1e-3);
}

// A block that no row takes is not read: weights that are no numbers show nowhere.
TEST(Routed, ABlockThatNoRowTakesIsNotRead) {
  const auto model = lively_model(routed_config("capacity = 0.25, decode = \"router\""));
  const torch::NoGradGuard no_grad;
  const auto& routed = dynamic_cast<Routed&>(*model->layers()[0]);
  for (const Tensor& p : routed.body->parameters()) p.fill_(std::nan(""));
  Tensor x = normal({6, 32}, 1, torch::kFloat32);
  x = x * torch::where((x.mv(routed.router->weight)).gt(0), -1, 1).unsqueeze(1);
  Context ctx{.rows = uniform_rows(1, 6, torch::kCPU), .routing = Routing::inference};
  const Output out = model->layers()[0]->add_to(x, ctx);
  EXPECT_TRUE(same_bits(out.delta, x));
  ASSERT_EQ(out.routes.size(), 1u);
  EXPECT_EQ(out.routes[0].token.size(0), 0);
  EXPECT_EQ(largest(model->layers()[0]->forward(x, ctx).delta), 0);
}

// Padding takes no capacity, and what stands in it reaches no real row and no weight.
TEST(Routed, PaddingTakesPartInNothing) {
  const auto model = lively_model(routed_config("capacity = 0.5"));
  const auto run = [&](double filler) {
    Tensor x = normal({24, 32}, 1, torch::kFloat32);
    Context ctx{.rows = uniform_rows(2, 12, torch::kCPU)};
    ctx.rows.valid = ctx.rows.position.lt(5).logical_or(ctx.rows.sequence.eq(0));
    x.slice(0, 17, 24).fill_(filler);
    const Output out = model->layers()[0]->add_to(x, ctx);
    const Tensor token = out.routes[0].token;
    EXPECT_EQ(token.slice(0, 6, 12).ge(0).sum().item<int64_t>(), 3);
    EXPECT_LT(token.max().item<int32_t>(), 17);
    for (const Tensor& p : model->parameters()) p.mutable_grad().reset();
    out.delta.slice(0, 0, 17).sum().backward();
    std::vector<Tensor> all = {out.delta.slice(0, 0, 17).detach()};
    for (const Tensor& p : model->layers()[0]->parameters())
      if (p.grad().defined()) all.push_back(p.grad().clone());
    return all;
  };
  const auto one = run(1e3), two = run(-1e3);
  ASSERT_EQ(one.size(), two.size());
  EXPECT_GT(one.size(), 4u);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(same_bits(one[i], two[i])) << i;
}

}  // namespace
}  // namespace pointwork::test
