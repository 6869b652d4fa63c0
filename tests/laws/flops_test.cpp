// Law 3: measured FLOPs are the multiply-adds counted while the model runs; the bound is, too,
// where nothing depends on values.

#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include "pointwork/ops/device.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

// What ran so far, and how many operators deep we are in one that was counted: what it is made of
// was counted with it.
struct Count {
  double flops = 0;
  int inside = 0;
};
thread_local Count* counting = nullptr;

// Two for each multiply-add of a product, and of attention for each pair that is not masked; -1 for
// anything else.
double flops_of(const at::RecordFunction& call) {
  const std::string name = call.name();
  const auto tensor = [&](size_t argument) { return call.inputs()[argument].toTensor(); };
  const auto product = [&](size_t a, size_t b) {
    const double columns = tensor(b).dim() > 1 ? static_cast<double>(tensor(b).size(-1)) : 1;
    return 2 * static_cast<double>(tensor(a).numel()) * columns;
  };
  for (const char* plain : {"aten::mm", "aten::bmm", "aten::mv", "aten::dot"})
    if (name == plain) return product(0, 1);
  for (const char* added : {"aten::addmm", "aten::addmm_", "aten::baddbmm", "aten::addmv"})
    if (name == added) return product(1, 2);
  if (name != "aten::scaled_dot_product_attention") return -1;
  // Queries [B, H, n, hd], keys [B, K, m, hd], a mask [n, m] or none, and whether it is causal.
  const auto rows = static_cast<double>(tensor(0).size(2));
  double pairs = rows * static_cast<double>(tensor(1).size(2));
  if (call.inputs()[3].isTensor() && tensor(3).defined()) {
    EXPECT_EQ(tensor(3).dim(), 2);
    pairs = tensor(3).sum().item<double>();
  } else if (call.inputs()[5].toBool()) {
    EXPECT_EQ(tensor(0).size(2), tensor(1).size(2));
    pairs = rows * (rows + 1) / 2;
  }
  return 4 * static_cast<double>(tensor(0).numel()) / rows * pairs;
}

struct Entry : at::ObserverContext {
  bool counted = false;
};

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& call) {
  auto entry = std::make_unique<Entry>();
  Count* const count = std::exchange(counting, nullptr);  // not what counting itself calls
  if (!count) return entry;
  const double flops = count->inside > 0 ? 0 : flops_of(call);
  counting = count;
  if (flops < 0) return entry;
  count->flops += flops;
  ++count->inside;
  entry->counted = true;
  return entry;
}

void leave(const at::RecordFunction&, at::ObserverContext* entry) {
  if (counting && static_cast<Entry*>(entry)->counted) --counting->inside;
}

// Forward and head, by operators that can be watched: composites, and with a cache one attention a
// sequence instead of a padded one.
struct Ran {
  double flops = 0;
  std::vector<Route> routes;
};

Ran run(Model& model, const Ragged& batch, Routing routing, KvCache* cache, int64_t step) {
  const torch::NoGradGuard no_grad;
  const CompositeGuard composite;
  Count count;
  counting = &count;
  Context ctx{.rows = batch.rows, .routing = routing, .step = step, .seed = 5, .cache = cache};
  ModelOutput out = model.forward(batch.token, ctx);
  model.logits(out.hidden);
  counting = nullptr;
  EXPECT_EQ(count.inside, 0);
  return {count.flops, std::move(out.routes)};
}

// Rows of each sequence that entered each application.
std::vector<Entered> entered_of(const std::vector<Route>& routes, const Ragged& batch) {
  std::vector<Entered> all;
  for (const Route& route : routes) {
    Entered& one = all.emplace_back(batch.rows.sequences(), 0.0);
    for (int64_t slot = 0; slot < route.token.size(0); ++slot) {
      const int32_t row = route.token[slot].item<int32_t>();
      if (row < 0) continue;
      const int32_t root = route.root[row].item<int32_t>();
      ++one[static_cast<size_t>(batch.rows.sequence[root].item<int32_t>())];
    }
  }
  return all;
}

bool has_lone_expert(const Config& config) {
  return std::any_of(config.branch.begin(), config.branch.end(), [](const auto& item) {
    const auto* routed = std::get_if<RoutedConfig>(&item.second.form);
    return routed && routed->route.by_token() && routed->route.num_experts == 1;
  });
}

class Flops : public ::testing::TestWithParam<NamedConfig> {
 protected:
  static void SetUpTestSuite() {
    handle_ = at::addGlobalCallback(at::RecordFunctionCallback(enter, leave)
                                        .needsInputs(true)
                                        .scopes({at::RecordScope::FUNCTION}));
  }
  static void TearDownTestSuite() { at::removeCallback(handle_); }
  static at::CallbackHandle handle_;

  const std::shared_ptr<Model> model_ = lively_model(GetParam().config);
};
at::CallbackHandle Flops::handle_;
INSTANTIATE_TEST_SUITE_P(Laws, Flops, ::testing::ValuesIn(every_config()), name_of);

const Tokens kEven = {random_tokens(24, 71), random_tokens(24, 72)};
const Tokens kMixed = {random_tokens(9, 73), random_tokens(24, 74), random_tokens(1, 75)};

TEST_P(Flops, AreWhatRunsInTraining) {
  for (const int64_t step : {int64_t{0}, int64_t{3}, kSettled}) {
    const Ragged batch = uniform(kEven);
    const Ran ran = run(*model_, batch, Routing::training, nullptr, step);
    const std::vector<Entered> entered = entered_of(ran.routes, batch);
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
  const std::vector<Entered> entered = entered_of(ran.routes, batch);
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
  std::vector<Entered> entered = entered_of(ran.routes, batch);
  if (entered.empty()) return;
  Extent extent{.rows = {24, 24}, .past = {1, 1}, .step = kSettled, .entered = &entered};
  EXPECT_THROW(model_->flops(extent), Error);
  extent.past.clear();
  entered.push_back({1, 1});
  EXPECT_THROW(model_->flops(extent), Error);
  entered.resize(entered.size() - 2);
  EXPECT_THROW(model_->flops(extent), Error);
}

}  // namespace
}  // namespace pointwork::test
