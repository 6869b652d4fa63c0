#include "pointwork/decode/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

#include "pointwork/base/check.h"
#include "pointwork/base/rng.h"

namespace pointwork::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int32_t draw(const std::vector<float>& logits, const SamplerOptions& options, double uniform = 0.5,
             const std::vector<int32_t>& seen = {}) {
  return sample_token(logits, seen, options, uniform);
}

// What a draw should give, from the definitions alone: probability of each id.
std::vector<double> distribution(std::vector<float> logits, const SamplerOptions& o,
                                 const std::vector<int32_t>& seen = {}) {
  std::vector<double> score(logits.begin(), logits.end());
  for (size_t id = 0; id < score.size(); ++id) {
    if (std::find(seen.begin(), seen.end(), static_cast<int32_t>(id)) == seen.end()) continue;
    score[id] = score[id] > 0 ? score[id] / o.repetition_penalty : score[id] * o.repetition_penalty;
  }
  std::vector<size_t> order(score.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return score[a] > score[b]; });
  if (o.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(o.top_k)));
  std::vector<double> p(score.size());
  const auto normalise = [&] {
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& one : p) one /= sum;
  };
  for (const size_t id : order) p[id] = std::exp((score[id] - score[order[0]]) / o.temperature);
  normalise();
  const std::vector<double> before = p;
  double sum = 0;
  for (const size_t id : order) {
    if (sum >= o.top_p || before[id] < o.min_p * before[order[0]]) p[id] = 0;
    sum += before[id];
  }
  normalise();
  return p;
}

// Draws on an even grid of uniforms: each id must come up for its share of them.
void expect_distribution(const std::string& what, const std::vector<float>& logits,
                         const SamplerOptions& options, const std::vector<int32_t>& seen = {}) {
  constexpr int kGrid = 4000;
  std::vector<double> count(logits.size());
  for (int i = 0; i < kGrid; ++i)
    ++count[static_cast<size_t>(draw(logits, options, (i + 0.5) / kGrid, seen))];
  const std::vector<double> p = distribution(logits, options, seen);
  for (size_t id = 0; id < p.size(); ++id) {
    // An interval of length p holds within 1 of p · kGrid grid points; one in no place is never
    // drawn.
    EXPECT_NEAR(count[id], p[id] * kGrid, p[id] == 0 ? 0 : 1.001) << what << ", id " << id;
  }
}

std::vector<float> random_logits(size_t count, uint64_t key) {
  std::vector<float> logits;
  for (size_t i = 0; i < count; ++i)
    logits.push_back(static_cast<float>(2 * random_normal(key, i)));
  return logits;
}

TEST(Sampler, GreedyTakesTheMostLikelyAndTheLowerOfEquals) {
  EXPECT_EQ(draw({1, 3, 2}, {.temperature = 0}), 1);
  EXPECT_EQ(draw({1, 3, 3, 3}, {.temperature = 0}), 1);
  EXPECT_EQ(draw({-5, -5}, {.temperature = 0}, 0.999), 0);
  EXPECT_EQ(draw({-kInfinity, -1}, {.temperature = 0}), 1);
  EXPECT_EQ(draw({7}, {.temperature = 0}), 0);
}

TEST(Sampler, TopOneIsGreedy) {
  for (uint64_t key = 0; key < 20; ++key) {
    std::vector<float> logits = random_logits(50, key);
    logits[40] = logits[10] = 9;
    for (const double uniform : {1e-16, 0.3, 1 - 1e-16})
      EXPECT_EQ(draw(logits, {.top_k = 1}, uniform), draw(logits, {.temperature = 0}));
  }
}

TEST(Sampler, DrawsFromTheDistributionOfItsOptions) {
  const std::vector<std::pair<std::string, SamplerOptions>> cases = {
      {"all", {}},
      {"cool", {.temperature = 0.5}},
      {"hot", {.temperature = 3}},
      {"top-k 5", {.top_k = 5}},
      {"top-k beyond the vocabulary", {.top_k = 1000}},
      {"top-p 0.7", {.top_p = 0.7}},
      {"top-p 0.999", {.top_p = 0.999}},
      {"top-p of nearly nothing", {.top_p = 1e-9}},
      {"min-p 0.2", {.min_p = 0.2}},
      {"min-p 1", {.min_p = 1}},
      {"all three", {.temperature = 1.3, .top_k = 20, .top_p = 0.9, .min_p = 0.05}},
      {"min-p cuts below top-p", {.top_p = 0.95, .min_p = 0.3}},
      {"top-p counts within top-k", {.top_k = 3, .top_p = 0.6}}};
  for (const auto& [name, options] : cases) {
    expect_distribution(name, random_logits(30, 1), options);
    // More than one block of the sort that top-p needs.
    expect_distribution(name + ", 700 ids", random_logits(700, 2), options);
  }
  // Ties at the edge of a cut go to the lower id.
  expect_distribution("ties in top-k", {1, 2, 2, 2, 0}, {.top_k = 2});
  expect_distribution("ties in top-p", {1, 1, 1, 1}, {.top_p = 0.5});
  expect_distribution("masked", {0, -kInfinity, 1}, {});
}

TEST(Sampler, ATemperatureNearZeroIsGreedy) {
  EXPECT_EQ(draw({1, 1.5, 1.25}, {.temperature = 1e-300}, 0.99), 1);
  EXPECT_EQ(draw({1, 1.5, 1.25}, {.temperature = 5e-324}, 0.99), 1);
}

TEST(Sampler, ARepetitionIsMadeLessLikelyWhateverItsSign) {
  const SamplerOptions greedy{.temperature = 0, .repetition_penalty = 2};
  EXPECT_EQ(draw({3, 2, -1}, greedy, 0.5, {0}), 1);
  EXPECT_EQ(draw({-1, -1.5, -9}, greedy, 0.5, {0}), 1);
  // Once, however often it was there.
  EXPECT_EQ(draw({3, 1, -1}, greedy, 0.5, {0, 0, 0, 0}), 0);
  EXPECT_EQ(draw({3, 2, -1}, {.temperature = 0}, 0.5, {0}), 0);
  const std::vector<int32_t> seen = {1, 4, 4, 9};
  expect_distribution("penalty", random_logits(12, 3), {.repetition_penalty = 1.7}, seen);
  expect_distribution("reward", random_logits(12, 3), {.repetition_penalty = 0.6}, seen);
}

TEST(Sampler, TheEndsOfTheUniformRangeDrawSomethingAllowed) {
  const std::vector<float> logits = random_logits(300, 5);
  for (const SamplerOptions& options :
       {SamplerOptions{}, SamplerOptions{.top_k = 7}, SamplerOptions{.top_p = 0.4}}) {
    const std::vector<double> p = distribution(logits, options);
    for (const double uniform : {0x1p-53, 1 - 0x1p-53})
      EXPECT_GT(p[static_cast<size_t>(draw(logits, options, uniform))], 0);
  }
}

std::string error_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

TEST(Sampler, LogitsThatAreNoNumbersAreAnError) {
  for (const double temperature : {0.0, 1.0}) {
    for (const std::vector<float>& bad :
         {std::vector<float>{1, kNan, 2}, {1, kInfinity, 2}, {-kInfinity, -kInfinity}}) {
      const std::string text = error_of([&] { draw(bad, {.temperature = temperature}); });
      EXPECT_NE(text.find("damaged"), std::string::npos) << text;
    }
  }
  EXPECT_THROW(draw({}, {}), Error);
}

TEST(Sampler, AnOptionOutOfRangeIsNamed) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::pair<std::string, SamplerOptions>> cases = {
      {"temperature", {.temperature = -0.1}},
      {"temperature", {.temperature = nan}},
      {"temperature", {.temperature = std::numeric_limits<double>::infinity()}},
      {"top-k", {.top_k = -1}},
      {"top-p", {.top_p = 0}},
      {"top-p", {.top_p = 1.01}},
      {"top-p", {.top_p = nan}},
      {"min-p", {.min_p = -0.1}},
      {"min-p", {.min_p = 1.5}},
      {"min-p", {.min_p = nan}},
      {"repetition penalty", {.repetition_penalty = 0}},
      {"repetition penalty", {.repetition_penalty = -1}},
      {"repetition penalty", {.repetition_penalty = nan}}};
  for (const auto& [name, options] : cases) {
    const std::string text = error_of([&] { validate(options); });
    EXPECT_EQ(text.rfind(name + " must be ", 0), 0u) << text;
    EXPECT_NE(text.find("but is "), std::string::npos) << text;
  }
  EXPECT_NO_THROW(validate({}));
  EXPECT_NO_THROW(validate({.temperature = 0, .top_k = 0, .top_p = 1, .min_p = 1}));
}

}  // namespace
}  // namespace pointwork::test
