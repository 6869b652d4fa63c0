// Laws 1 and 5: combine is the transpose of dispatch on every route a model makes, and a route that
// lets everything through, or a single round, is not there at all.

#include <gtest/gtest.h>

#include <set>

#include "pointwork/config/grammar.h"
#include "pointwork/ops/device.h"
#include "pointwork/ops/rows.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

class Structure : public ::testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(Laws, Structure, ::testing::ValuesIn(every_config()), name_of);

// Small whole numbers: every sum of their products is exact, in whatever order.
Tensor whole_numbers(std::vector<int64_t> shape, uint64_t key) {
  Tensor made = torch::empty(shape, torch::kFloat32);
  for (int64_t i = 0; i < made.numel(); ++i) {
    made.data_ptr<float>()[i] =
        static_cast<float>(random_below(17, stream_key(key, "whole"), static_cast<uint64_t>(i))) -
        8;
  }
  return made;
}

double dot_of(const Tensor& a, const Tensor& b) {
  return (a.to(torch::kFloat64) * b.to(torch::kFloat64)).sum().item<double>();
}

// Routes of both phases, of padded sequences (with empty slots) and of ragged ones.
std::vector<Route> routes_of(Model& model) {
  const Tokens tokens = {random_tokens(24, 1), random_tokens(24, 2), random_tokens(24, 3)};
  Ragged padded = uniform(tokens);
  padded.rows.valid = torch::ones({72}, torch::kBool);
  padded.rows.valid.slice(0, 34, 48).fill_(false);
  padded.rows.valid.slice(0, 49, 72).fill_(false);
  std::vector<Route> all;
  for (const Ragged& batch : {uniform(tokens), padded}) {
    for (const Routing routing : {Routing::training, Routing::inference}) {
      for (Route& route : look(model, batch, routing).routes) all.push_back(std::move(route));
    }
  }
  return all;
}

// Law 1, to the last bit.
TEST_P(Structure, CombineIsTheTransposeOfDispatch) {
  const auto model = lively_model(GetParam().config);
  const std::vector<Route> routes = routes_of(*model);
  EXPECT_EQ(routes.empty(), routers_of(*model).empty());
  int64_t empty = 0, filled = 0;
  for (const Route& route : routes) {
    const RowIndex index{route.token, route.row_offset, route.row_slot};
    const int64_t rows = route.shape.rows, slots = route.token.size(0);
    empty += route.token.lt(0).sum().item<int64_t>();
    filled += route.token.ge(0).sum().item<int64_t>();
    ASSERT_EQ(slots, route.shape.slots);
    Tensor x = whole_numbers({rows, 8}, 1), y = whole_numbers({slots, 8}, 2);
    const Tensor weight = whole_numbers({slots}, 3);
    const double plain = dot_of(dispatch(x, index), y);
    EXPECT_EQ(plain, dot_of(x, combine({}, y, {}, index)));
    EXPECT_EQ(dot_of(dispatch(x, index) * weight.unsqueeze(1), y),
              dot_of(x, combine({}, y, weight, index)));
    {
      const CompositeGuard composite;
      EXPECT_EQ(plain, dot_of(dispatch(x, index), y));
      EXPECT_EQ(plain, dot_of(x, combine({}, y, {}, index)));
    }
    // So each is the other's backward, and the weight's gradient is a dot of rows.
    x.requires_grad_();
    dispatch(x, index).backward(y);
    EXPECT_TRUE(x.grad().equal(combine({}, y, {}, index)));
    const Tensor up = x.detach();
    y.requires_grad_();
    Tensor learnt = weight.clone().requires_grad_();
    combine({}, y, learnt, index).backward(up);
    const Tensor gathered = dispatch(up, index);
    EXPECT_TRUE(y.grad().equal(gathered * weight.unsqueeze(1)));
    EXPECT_TRUE(learnt.grad().equal((gathered * y.detach()).sum(1)));
  }
  if (!routes.empty()) EXPECT_GT(filled, 0);
  if (skips_rows(GetParam().config)) EXPECT_GT(empty, 0);
}

// Copies the weights of two trees that differ by routers and by how deep the names nest.
void copy_in_order(const Model& from, Model& to) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> values, targets;
  const auto is_weight = [](const std::string& name) {
    return name.find(".router.") == std::string::npos;
  };
  for (const auto& item : from.named_parameters())
    if (is_weight(item.key())) values.push_back(item.value());
  for (const auto& item : to.named_parameters())
    if (is_weight(item.key())) targets.push_back(item.value());
  ASSERT_EQ(values.size(), targets.size());
  for (size_t i = 0; i < values.size(); ++i) {
    // A single expert is one set of weights.
    const bool single = values[i].dim() == targets[i].dim() + 1 && values[i].size(0) == 1;
    ASSERT_EQ((single ? values[i][0] : values[i]).sizes(), targets[i].sizes());
    targets[i].copy_(single ? values[i][0] : values[i]);
  }
}

const Tokens kTokens = {random_tokens(24, 61), random_tokens(24, 62)};

// Both models on the same tokens, in every way to run them.
template <class Compare>
void on_every_path(Model& a, Model& b, const Compare& compare) {
  for (const Routing routing : {Routing::training, Routing::inference}) {
    compare(look(a, uniform(kTokens), routing), look(b, uniform(kTokens), routing));
  }
  KvCache cache_a(a.sites(), 2, 24), cache_b(b.sites(), 2, 24);
  compare(look(a, ragged(kTokens), Routing::inference, &cache_a),
          look(b, ragged(kTokens), Routing::inference, &cache_b));
}

// Law 5.
TEST_P(Structure, WithCapacityOneAndNoWeightARouteIsNotThere) {
  Config open = GetParam().config;
  for_each_route(open, [](RouteConfig& route) {
    route.capacity = 1;
    route.capacity_schedule = {};
    route.weight = RouterWeight::none;
    // One expert, whom all must choose.
    route.num_experts = route.top_k = 1;
    route.num_noop = 0;
    route.dropless = true;
    route.target_active = 0;
    route.second_choice = SecondChoice::all;
    route.routed_scaling_factor = 1;
    route.top_k_start = 0;
    route.in_order_steps = 0;
    route.absorbing = false;
  });
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kFloat64}) {
    const auto routed = lively_model(open, dtype), dense = lively_model(dense_twin(open), dtype, 9);
    EXPECT_TRUE(routers_of(*dense).empty());
    EXPECT_EQ(routed->sites(), dense->sites());
    ASSERT_NO_FATAL_FAILURE(copy_in_order(*routed, *dense));
    on_every_path(*routed, *dense, [](const Seen& a, const Seen& b) {
      EXPECT_LE((a.logits - b.logits).abs().max().item<double>(), tolerance_of(b.logits));
    });
  }
}

// Every branch of the grammar, leaves too, inside a repeat of one round. Where routers count rounds
// or keep a state through them the layers alone: theirs must stay the nearest repeat.
Config once(Config config) {
  std::set<std::string> shared;  // what reads the norm of a branch around it, and that branch
  for (const auto& [name, branch] : config.branch) {
    const auto* parallel = std::get_if<ParallelConfig>(&branch.form);
    if (!parallel || parallel->norm == ParallelNorm::inside) continue;
    shared.insert(name);
    shared.insert(parallel->of.begin(), parallel->of.end());
  }
  bool counts = false;
  for_each_route(config, [&](const RouteConfig& route) {
    counts = counts || route.stateful() || route.round_embedding || route.round_bias ||
             route.in_order_steps > 0;
  });
  std::map<std::string, BranchConfig> wrapped;
  const auto wrap = [](std::string& name) { name += "_once"; };
  for (auto& [name, branch] : config.branch) {
    wrapped[name + "_once"].form = RepeatConfig{.of = name, .times = 1};
    // Experts are an mlp, and nothing round it.
    if (const auto* routed = std::get_if<RoutedConfig>(&branch.form);
        routed && (routed->route.num_experts > 1 || norm_outside(config, *routed)))
      continue;
    if (counts) continue;
    if (shared.count(name)) continue;
    std::visit(
        [&](auto& form) {
          if constexpr (requires { form.of; }) {
            if constexpr (std::is_same_v<decltype(form.of), std::string>)
              wrap(form.of);
            else
              for (std::string& child : form.of) wrap(child);
          }
        },
        branch.form);
  }
  config.branch.merge(wrapped);
  for (auto* names :
       {&config.model.layers.first, &config.model.layers.repeat, &config.model.layers.last})
    for (std::string& name : *names) wrap(name);
  return config;
}

TEST_P(Structure, OneRoundOfARepeatIsItsBody) {
  Config config = GetParam().config;
  // Random scores are keyed by the branch's place in the tree, which is another here.
  for_each_route(config, [](RouteConfig& route) {
    if (route.choice == ChoiceKind::random) route.choice = ChoiceKind::expert;
  });
  const auto plain = lively_model(config),
             repeated = lively_model(once(config), torch::kFloat32, 9);
  EXPECT_EQ(repeated->sites(), plain->sites());
  EXPECT_EQ(repeated->parameter_count(), plain->parameter_count());
  // Here routers and predictors have their counterparts too.
  const torch::NoGradGuard no_grad;
  const auto from = plain->parameters(), to = repeated->parameters();
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < from.size(); ++i) Tensor(to[i]).copy_(from[i]);
  const auto state = plain->buffers(), its_state = repeated->buffers();
  for (size_t i = 0; i < state.size(); ++i) Tensor(its_state[i]).copy_(state[i]);
  on_every_path(*plain, *repeated, [](const Seen& a, const Seen& b) {
    EXPECT_TRUE(a.logits.equal(b.logits));
    ASSERT_EQ(a.layers.size(), b.layers.size());
    for (size_t i = 0; i < a.layers.size(); ++i)
      EXPECT_EQ(a.layers[i].entered, b.layers[i].entered);
  });
}

}  // namespace
}  // namespace pointwork::test
