// Laws 2, 4 and 6: what a row gives depends neither on how its prompt was cut into chunks, nor on
// what comes after it, nor on its batch-mates.

#include <gtest/gtest.h>

#include "pointwork/ops/device.h"
#include "tests/support/lively.h"

namespace pointwork::test {
namespace {

class Inference : public ::testing::TestWithParam<NamedConfig> {};
INSTANTIATE_TEST_SUITE_P(Laws, Inference, ::testing::ValuesIn(every_config()), name_of);

constexpr torch::Dtype kDtypes[] = {torch::kFloat32, torch::kFloat64};

// Mixed lengths; 24 is all that the learned positions hold.
Tokens prompts(uint64_t key) {
  return {random_tokens(9, key), random_tokens(24, key + 1), random_tokens(1, key + 2),
          random_tokens(17, key + 3)};
}

// How many tokens of each sequence the next pass takes.
using Cut = std::function<size_t(size_t sequence, size_t pass)>;

// Runs all tokens through one cache, pass by pass, and compares each row with the reference.
void expect_chunks_change_nothing(const std::string& what, Model& model, const Tokens& tokens,
                                  const Seen& want, const Doubts& doubts, const Cut& cut) {
  KvCache cache(model.sites(), static_cast<int64_t>(tokens.size()), 24);
  const Ragged whole = ragged(tokens);
  std::vector<size_t> done(tokens.size(), 0);
  bool more = true;
  for (size_t pass = 0; more; ++pass) {
    std::vector<size_t> end = done;
    std::vector<int64_t> at, of;
    more = false;
    for (size_t b = 0; b < tokens.size(); ++b) {
      end[b] = std::min(tokens[b].size(), done[b] + cut(b, pass));
      for (size_t i = done[b]; i < end[b]; ++i) {
        of.push_back(whole.rows.start[static_cast<int64_t>(b)].item<int32_t>() +
                     static_cast<int64_t>(i));
      }
      more = more || end[b] < tokens[b].size();
    }
    at.resize(of.size());
    std::iota(at.begin(), at.end(), int64_t{0});
    if (of.empty()) continue;
    const Seen got = look(model, ragged(tokens, done, end), Routing::inference, &cache);
    expect_same(concat(what, " from ", done[0]), got, at, want, of, doubts);
    if (::testing::Test::HasFatalFailure()) return;
    done = end;
  }
  if (doubts.near > 0) return;
  // Every row that entered a block, and no other, is in its cache.
  int64_t held = 0, expected = 0;
  for (int64_t site = 0; site < model.sites(); ++site)
    for (size_t b = 0; b < tokens.size(); ++b) held += cache.length(site, static_cast<int64_t>(b));
  KvCache once(model.sites(), static_cast<int64_t>(tokens.size()), 24);
  look(model, whole, Routing::inference, &once);
  for (int64_t site = 0; site < model.sites(); ++site)
    for (size_t b = 0; b < tokens.size(); ++b)
      expected += once.length(site, static_cast<int64_t>(b));
  EXPECT_EQ(held, expected) << what;
}

// Law 2.
TEST_P(Inference, PrefillEqualsDecodeStepsHoweverChunked) {
  const bool skips = skips_rows(GetParam().config);
  for (const torch::Dtype dtype : kDtypes) {
    const auto model = lively_model(GetParam().config, dtype);
    for (uint64_t key : {1, 11}) {
      const Tokens tokens = prompts(key);
      const Ragged whole = ragged(tokens);
      const Seen want = look(*model, whole, Routing::inference);
      const Doubts doubts = doubts_of(want, whole.rows);
      expect_decided(doubts, skips);
      const auto run = [&](const std::string& what, const Cut& cut) {
        expect_chunks_change_nothing(concat(what, " in ", torch::toString(dtype)), *model, tokens,
                                     want, doubts, cut);
      };
      run("whole", [](size_t, size_t) { return 24; });
      run("single tokens", [](size_t, size_t) { return 1; });
      run("fives", [](size_t, size_t) { return 5; });
      // 16 rows and more take the blocked attention, with and without rows before them.
      run("three, then all", [](size_t, size_t pass) { return pass == 0 ? 3 : 24; });
      // One sequence prefills while others take a step or wait.
      run("uneven", [](size_t b, size_t pass) { return (b + pass) % 3 == 0 ? 18 : b % 2; });
      const CompositeGuard composite;
      run("single tokens, composite", [](size_t, size_t) { return 1; });
    }
  }
}

// Law 6, without a cache (law 2 carries it to the cached run) and through one.
TEST_P(Inference, BatchMatesDoNotMatter) {
  const bool skips = skips_rows(GetParam().config);
  for (const torch::Dtype dtype : kDtypes) {
    const auto model = lively_model(GetParam().config, dtype);
    const Tokens tokens = prompts(51);
    const Ragged whole = ragged(tokens);
    const Seen want = look(*model, whole, Routing::inference);
    const Doubts doubts = doubts_of(want, whole.rows);
    expect_decided(doubts, skips);
    for (size_t b = 0; b < tokens.size(); ++b) {
      Ragged alone = ragged({tokens[b]});
      alone.rows.key[0] = whole.rows.key[static_cast<int64_t>(b)];
      std::vector<int64_t> at(tokens[b].size()), of(at.size());
      std::iota(at.begin(), at.end(), int64_t{0});
      std::iota(of.begin(), of.end(), whole.rows.start[static_cast<int64_t>(b)].item<int32_t>());
      for (const bool cached : {false, true}) {
        KvCache cache(model->sites(), 1, 24);
        const Seen got = look(*model, alone, Routing::inference, cached ? &cache : nullptr);
        ASSERT_NO_FATAL_FAILURE(
            expect_same(concat("sequence ", b, " alone"), got, at, want, of, doubts));
      }
    }
  }
}

// The first row of the sequence whose choice or logits changed, and whether a choice did.
struct Change {
  int64_t row = 1 << 30;
  bool choice = false;
};

Change first_change(const Seen& before, const Seen& after, const Doubts& doubts) {
  Change change;
  const double tolerance = tolerance_of(before.logits);
  const Tensor gap = (after.logits - before.logits).abs().amax(1).to(torch::kFloat64).contiguous();
  for (int64_t t = gap.size(0) - 1; t >= 0; --t) {
    const auto row = static_cast<size_t>(t);
    if (doubts.row[row]) continue;
    bool choice = false;
    for (const LayerTrace& layer : before.layers) {
      const LayerTrace* other = layer_named(after, layer.name);
      choice = choice || (other && other->entered[row]) != layer.entered[row];
    }
    if (choice || gap.data_ptr<double>()[t] > tolerance) change = {t, change.choice || choice};
  }
  return change;
}

// Law 4: a causal choice sees nothing of what comes later.
TEST_P(Inference, ATokenChangesNothingBeforeIt) {
  const auto model = lively_model(GetParam().config);
  Tokens tokens;
  Seen before;
  Doubts doubts;
  // A doubt early on would hide all the rest.
  for (uint64_t key = 31; key == 31 || (doubts.near > 0 && key < 35); ++key) {
    tokens = {random_tokens(24, key)};
    before = look(*model, ragged(tokens), Routing::inference);
    doubts = doubts_of(before, ragged(tokens).rows);
  }
  expect_decided(doubts, skips_rows(GetParam().config));
  for (const size_t t : {23u, 20u, 12u, 5u, 1u, 0u}) {
    Tokens changed = tokens;
    changed[0][t] = (changed[0][t] + 7) % 61;
    const Change change =
        first_change(before, look(*model, ragged(changed), Routing::inference), doubts);
    // Its own logits always change: the comparison sees what it should.
    EXPECT_EQ(change.row, static_cast<int64_t>(t));
  }
}

// … and selection as in training looks ahead, wherever the selection depends on values.
TEST_P(Inference, SelectionAsInTrainingLooksAhead) {
  const auto model = lively_model(GetParam().config);
  bool looks_ahead = false;
  for (const auto& router : depth_routers_of(*model)) {
    looks_ahead = looks_ahead ||
                  (router->config().choice != ChoiceKind::random && router->config().capacity < 1);
  }
  // Where tokens choose, who is dropped may depend on what comes later: a second choice waits for
  // all first ones.
  if (!looks_ahead && has_token_choice(GetParam().config)) return;
  int64_t choices_changed = 0, broken = 0;
  for (uint64_t key = 41; key < 45; ++key) {
    const Tokens tokens = {random_tokens(24, key)};
    const Seen before = look(*model, uniform(tokens), Routing::training);
    const Doubts none{std::vector<uint8_t>(24), 0, 0, 0};
    for (const size_t t : {23u, 20u, 12u}) {
      Tokens changed = tokens;
      changed[0][t] = (changed[0][t] + 7) % 61;
      const Change change =
          first_change(before, look(*model, uniform(changed), Routing::training), none);
      broken += change.row < static_cast<int64_t>(t);
      choices_changed += change.row < static_cast<int64_t>(t) && change.choice;
    }
  }
  if (looks_ahead) {
    EXPECT_GT(broken, 0);
    EXPECT_GT(choices_changed, 0);
  } else {
    EXPECT_EQ(broken, 0);
  }
}

}  // namespace
}  // namespace pointwork::test
