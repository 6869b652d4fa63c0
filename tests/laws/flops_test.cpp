// Law 3: measured FLOPs are the multiply-adds counted while the model runs; the bound is, too,
// where nothing depends on values.

#include <gtest/gtest.h>

#include "pointwork/ops/device.h"
#include "pointwork/route/entered.h"
#include "tests/support/count_flops.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

// Forward and head, by operators that can be watched: composites, and with a cache one attention a
// sequence instead of a padded one.
struct Ran {
  double flops = 0;
  std::vector<Route> routes;
};

Ran run(Model& model, const Ragged& batch, Routing routing, KvCache* cache, int64_t step) {
  const torch::NoGradGuard no_grad;
  const CompositeGuard composite;
  Context ctx{.rows = batch.rows, .routing = routing, .step = step, .seed = 5, .cache = cache};
  ModelOutput out;
  const double flops = counted_flops([&] {
    out = model.forward(batch.token, ctx);
    model.logits(out.hidden);
  });
  return {flops, std::move(out.routes)};
}

bool has_lone_expert(const Config& config) {
  return std::any_of(config.branch.begin(), config.branch.end(), [](const auto& item) {
    const auto* routed = std::get_if<RoutedConfig>(&item.second.form);
    return routed && routed->route.by_token() && routed->route.num_experts == 1;
  });
}

class Flops : public ::testing::TestWithParam<NamedConfig> {
 protected:
  const std::shared_ptr<Model> model_ = lively_model(GetParam().config);
};
INSTANTIATE_TEST_SUITE_P(Laws, Flops, ::testing::ValuesIn(every_config()), name_of);

const Tokens kEven = {random_tokens(24, 71), random_tokens(24, 72)};
const Tokens kMixed = {random_tokens(9, 73), random_tokens(24, 74), random_tokens(1, 75)};

TEST_P(Flops, AreWhatRunsInTraining) {
  for (const int64_t step : {int64_t{0}, int64_t{3}, kSettled}) {
    const Ragged batch = uniform(kEven);
    const Ran ran = run(*model_, batch, Routing::training, nullptr, step);
    const std::vector<Entered> entered = entered_of(ran.routes, batch.rows);
    Extent extent{.rows = {24, 24}, .step = step};
    if (has_token_choice(GetParam().config)) {
      extent.kind = FlopKind::bound;
      const double bound = total_flops(model_->flops(extent));
      // One expert's empty slots stand among its filled ones, and run; those of several never do.
      if (has_lone_expert(GetParam().config)) {
        EXPECT_EQ(bound, ran.flops);
        continue;
      }
      EXPECT_GE(bound, ran.flops);
    } else {
      EXPECT_EQ(total_flops(model_->flops(extent)), ran.flops);
      extent.kind = FlopKind::bound;
      EXPECT_EQ(total_flops(model_->flops(extent)), ran.flops);
    }
    extent.entered = &entered;
    EXPECT_EQ(total_flops(model_->flops(extent)), ran.flops);
  }
}

TEST_P(Flops, MeasuredIsWhatRunsCausally) {
  const Ragged batch = ragged(kMixed);
  KvCache cache(model_->sites(), 3, 24);
  const Ran ran = run(*model_, batch, Routing::inference, &cache, kSettled);
  const std::vector<Entered> entered = entered_of(ran.routes, batch.rows);
  const Extent extent{
      .rows = {9, 24, 1}, .routing = Routing::inference, .step = kSettled, .entered = &entered};
  EXPECT_EQ(total_flops(model_->flops(extent)), ran.flops);

  // The bound is what runs where every row enters, and more otherwise.
  const Extent bound{
      .rows = {9, 24, 1}, .routing = Routing::inference, .kind = FlopKind::bound, .step = kSettled};
  if (skips_rows(GetParam().config))
    EXPECT_GT(total_flops(model_->flops(bound)), ran.flops);
  else
    EXPECT_EQ(total_flops(model_->flops(bound)), ran.flops);
}

// A step after others costs what the whole costs more than what was there: so a continuation is
// measured by its whole.
TEST_P(Flops, MeasuredOfAContinuationIsTheDifference) {
  const std::vector<size_t> begin(3, 0), middle = {4, 20, 0}, end = {9, 24, 1};
  KvCache cache(model_->sites(), 3, 24);
  const Ragged first = ragged(kMixed, begin, middle), second = ragged(kMixed, middle, end);
  const Ran before = run(*model_, first, Routing::inference, &cache, kSettled);
  const Ran after = run(*model_, second, Routing::inference, &cache, kSettled);
  KvCache fresh(model_->sites(), 3, 24);
  const Ran whole = run(*model_, ragged(kMixed), Routing::inference, &fresh, kSettled);
  EXPECT_EQ(before.flops + after.flops, whole.flops);

  if (!skips_rows(GetParam().config)) {
    const Extent extent{.rows = {5, 4, 1}, .past = {4, 20, 0}, .routing = Routing::inference};
    EXPECT_EQ(total_flops(model_->flops(extent)), after.flops);
  }
}

// With rows before it, what was measured would have to say how many of those are in each cache.
TEST_P(Flops, MeasuredRowsMustBeAllThereWere) {
  const Ragged batch = uniform(kEven);
  const Ran ran = run(*model_, batch, Routing::training, nullptr, kSettled);
  std::vector<Entered> entered = entered_of(ran.routes, batch.rows);
  if (entered.empty()) return;
  Extent extent{.rows = {24, 24}, .past = {1, 1}, .step = kSettled, .entered = &entered};
  EXPECT_THROW(model_->flops(extent), Error);
  extent.past.clear();
  entered.push_back({.rows = {1, 1}, .pairs = {1, 1}});
  EXPECT_THROW(model_->flops(extent), Error);
  entered.resize(entered.size() - 2);
  EXPECT_THROW(model_->flops(extent), Error);
}

}  // namespace
}  // namespace pointwork::test
