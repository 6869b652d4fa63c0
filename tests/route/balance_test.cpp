#include "pointwork/route/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "pointwork/ops/experts.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

struct Case {
  std::string name;
  Tensor logits, probability, choice, valid;
  int64_t choices, group;
};

std::vector<Case> cases() {
  std::vector<Case> made;
  uint64_t seed = 0;
  for (const int64_t rows : {1, 3, 31, 33, 128, 200}) {
    for (const auto& [all, experts, k] :
         {std::tuple(4, 4, 1), std::tuple(6, 4, 2), std::tuple(3, 3, 3), std::tuple(1, 1, 1),
          std::tuple(40, 30, 2), std::tuple(5, 1, 1)}) {
      for (const double skew : {0.0, 0.5, 6.0}) {  // at 6 most experts are idle
        for (const int64_t group : {0, 16, 7, 1000}) {
          Case c{concat(rows, " rows, ", experts, " of ", all, ", k ", k, ", skew ", skew,
                        ", groups of ", group)};
          c.logits = normal({rows, all}, ++seed) + torch::arange(all, torch::kFloat64) * skew;
          c.probability = torch::softmax(c.logits, 1);
          if (seed % 3 == 0) c.valid = normal({rows}, seed, torch::kFloat32).gt(0);
          if (seed % 3 == 1) c.valid = torch::arange(rows).ge(20);  // groups without a valid row
          c.choice = highest_columns(c.probability, k, c.valid);
          c.choices = experts;
          c.group = group;
          made.push_back(std::move(c));
        }
      }
    }
  }
  return made;
}

bool is_valid(const Case& c, int64_t row) {
  return !c.valid.defined() || c.valid[row].item<bool>();
}

// Written down from the equation, one token after another.
double loop(const Case& c) {
  const int64_t rows = c.probability.size(0), all = c.probability.size(1), k = c.choice.size(1);
  const auto p = doubles(c.probability);
  const auto choice = elements<int32_t>(c.choice);
  const int64_t group = c.group > 0 ? c.group : rows;
  double total = 0;
  int64_t groups = 0;
  for (int64_t first = 0; first < rows; first += group) {
    std::vector<double> f(static_cast<size_t>(c.choices)), mean(f.size());
    double valid = 0, chosen = 0, mass = 0;
    for (int64_t t = first; t < std::min(rows, first + group); ++t) {
      if (!is_valid(c, t)) continue;
      ++valid;
      for (int64_t i = 0; i < c.choices; ++i) {
        mean[static_cast<size_t>(i)] += p[static_cast<size_t>(t * all + i)];
        mass += p[static_cast<size_t>(t * all + i)];
      }
      for (int64_t rank = 0; rank < k; ++rank) {
        const int32_t e = choice[static_cast<size_t>(t * k + rank)];
        if (e < 0 || e >= c.choices) continue;
        ++f[static_cast<size_t>(e)];
        ++chosen;
      }
    }
    if (c.choices == all) chosen = valid * static_cast<double>(k), mass = valid;
    if (chosen == 0) continue;
    ++groups;
    for (size_t i = 0; i < f.size(); ++i)
      total += static_cast<double>(c.choices) * f[i] / chosen * mean[i] / mass;
  }
  return groups ? total / static_cast<double>(groups) : 0;
}

double balance(const Case& c) {
  return balance_loss(c.probability, c.choice, c.choices, c.group, c.valid).item<double>();
}

TEST(BalanceLoss, EqualsALoopOverTokens) {
  int64_t nothing = 0, uneven = 0;
  for (const Case& c : cases()) {
    const double want = loop(c);
    nothing += want == 0;
    uneven += want > 1.5;
    expect_same(c.name, torch::tensor(balance(c), torch::kFloat64),
                torch::tensor(want, torch::kFloat64), static_cast<double>(c.choices));
    const Tensor narrow =
        balance_loss(c.probability.to(torch::kFloat32), c.choice, c.choices, c.group, c.valid);
    EXPECT_EQ(narrow.scalar_type(), torch::kFloat32);
    EXPECT_NEAR(narrow.item<double>(), want, 1e-5 * (1 + want)) << c.name;
  }
  EXPECT_GT(nothing, 10);
  EXPECT_GT(uneven, 50);
}

// Values printed in the tests of Hugging Face and Flaxformer.
TEST(BalanceLoss, GoldenValueOfFlaxformer) {
  const Tensor p = torch::tensor({.35490513, .60419905, .4275843, .23061597, .32985854, .43953657,
                                  .25099766, .27730572, .7678207, .71474564},
                                 torch::kFloat64)
                       .view({5, 2});
  const Tensor choice = ints({0, 1, 1, 0, 0}).view({5, 1});
  EXPECT_NEAR(balance_loss(p.to(torch::kFloat32), choice, 2, 0, {}).item<double>(), 0.8741045,
              4 * 0x1p-24);
  // By hand: 2 · (3/5 · 2.13116633/5 + 2/5 · 2.26640295/5).
  EXPECT_NEAR(balance_loss(p, choice, 2, 0, {}).item<double>(),
              2 * (3 * 2.13116633 + 2 * 2.26640295) / 25, 1e-15);
}

TEST(RouterZLoss, GoldenValueOfFlaxformer) {
  const Tensor logits =
      torch::tensor(
          {-4.2124424,  3.891939,   -3.6481273,  1.8849981,   0.32625437, 2.918651,   0.84758997,
           -4.556842,   -3.32062,   4.6977115,   -0.15439987, 0.44086337, 3.4467149,  4.3436565,
           -4.7224274,  -4.264637,  -2.224406,   -2.5318158,  -1.3832569, 1.1891162,  -2.320062,
           -0.44705987, 4.289819,   -0.00662684, 0.99470854,  -0.6992364, 0.25503993, 4.2952085,
           3.5937333,   -3.2408535, -4.298278,   4.426601,    0.7669008,  2.6588762,  2.4505413,
           4.6051874,   0.23330331, -3.0845237,  0.6262374,   -2.9865491, 0.7595146,  -2.1099675,
           -4.155346,   -2.8326452, 2.3771453,   1.004138,    -3.1781673, 0.7581556},
          torch::kFloat64)
          .view({12, 4});
  EXPECT_NEAR(router_z_loss(logits.to(torch::kFloat32), {}).item<double>(), 13.786719, 4e-6);
  EXPECT_NEAR(router_z_loss(logits, {}).item<double>(), 13.786719, 1e-6);
}

TEST(Losses, GoldenValuesOfATopOneRouter) {
  const Tensor x =
      torch::tensor({0.6433916,  0.18188512, 0.02240455, 0.563781,   0.5526401,  0.0958724,
                     0.34253013, 0.03644359, 0.08744538, 0.7909105,  0.35205448, 0.53364205,
                     0.02900076, 0.4168595,  0.5802449,  0.91486526, 0.27414513, 0.14991808,
                     0.9383501,  0.5209162,  0.51207185, 0.90618336, 0.7309413,  0.95533276},
                    torch::kFloat64)
          .view({6, 4});
  const Tensor router = torch::tensor({0.02008116, 0.00620062, -0.00811031, -0.00031623,
                                       -0.03542127, 0.02703803, 0.02335377, -0.02971946},
                                      torch::kFloat64)
                            .view({4, 2});
  const Tensor logits = x.matmul(router);
  const Tensor p = torch::softmax(logits, 1);
  // Two groups of three tokens.
  EXPECT_NEAR(balance_loss(p, highest_columns(p, 1, {}), 2, 3, {}).item<double>(), 1.000308, 1e-6);
  EXPECT_NEAR(router_z_loss(logits, {}).item<double>(), 0.4789799, 1e-7);
}

// Flaxformer's loss of k choices is at least k, since it does not divide by their number.
TEST(BalanceLoss, DefectEvenLoadsOfSeveralChoicesAreNotOne) {
  for (const int64_t k : {1, 2, 4}) {
    std::vector<int32_t> choice;
    for (int32_t p = 0; p < 8 * k; ++p) choice.push_back(p % 8);
    for (const int64_t group : {0, 4, 8}) {
      // Even probabilities make it 1 whatever is chosen.
      EXPECT_DOUBLE_EQ(balance_loss(torch::full({8, 8}, 0.125, torch::kFloat64),
                                    ints(choice).view({8, k}), 8, group, {})
                           .item<double>(),
                       1);
    }
    // Even loads make it 1 whatever the probabilities are.
    EXPECT_NEAR(
        balance_loss(torch::softmax(normal({8, 8}, 3), 1), ints(choice).view({8, k}), 8, 0, {})
            .item<double>(),
        1, 1e-14);
  }
}

TEST(BalanceLoss, IsTheNumberOfExpertsWhereOneTakesAll) {
  const Tensor p = torch::zeros({10, 8}, torch::kFloat64);
  p.select(1, 3).fill_(1);
  EXPECT_DOUBLE_EQ(balance_loss(p, torch::full({10, 1}, 3, torch::kInt32), 8, 0, {}).item<double>(),
                   8);
}

TEST(BalanceLoss, OfExpertsLeavesNoOpsAnyShare) {
  // Half of the rows take the no-op; the experts among themselves are even.
  const Tensor p =
      torch::tensor({.1, .1, .8, .1, .1, .8, .4, .4, .2, .4, .4, .2}, torch::kFloat64).view({4, 3});
  const Tensor choice = ints({2, 2, 0, 1}).view({4, 1});
  EXPECT_DOUBLE_EQ(balance_loss(p, choice, 2, 0, {}).item<double>(), 1);
  EXPECT_NE(balance_loss(p, choice, 3, 0, {}).item<double>(), 1);
  // Where all take it there is nothing to balance, and nothing is divided by 0.
  EXPECT_EQ(balance_loss(p, torch::full({4, 1}, 2, torch::kInt32), 2, 0, {}).item<double>(), 0);
}

// Layers that fail in opposite ways are even together (issues #29503, #28255, #31464).
TEST(BalanceLoss, DefectImbalancesOfLayersCancel) {
  const Tensor first = torch::tensor({.9, .1}, torch::kFloat64).repeat({10, 1});
  const Tensor second = first.flip(1);
  const Tensor zeros = torch::zeros({10, 1}, torch::kInt32);
  const double apart = balance_loss(first, zeros, 2, 0, {}).item<double>() +
                       balance_loss(second, zeros + 1, 2, 0, {}).item<double>();
  EXPECT_DOUBLE_EQ(apart, 2 * 2 * 0.9);
  EXPECT_DOUBLE_EQ(
      balance_loss(torch::cat({first, second}), torch::cat({zeros, zeros + 1}), 2, 0, {})
          .item<double>(),
      1);
}

// What was dropped is no choice of expert 0 (Hugging Face 4), and padding no choice at all.
TEST(BalanceLoss, DefectNoChoiceCountsAsExpertZero) {
  const Tensor p = torch::tensor({.2, .8}, torch::kFloat64).repeat({4, 1});
  const Tensor valid = torch::tensor({true, true, false, false});
  const Tensor choice = ints({1, 1, -1, -1}).view({4, 1});
  EXPECT_DOUBLE_EQ(balance_loss(p, choice, 2, 0, valid).item<double>(), 1.6);
  EXPECT_DOUBLE_EQ(balance_loss(p, choice, 2, 0, {}).item<double>(), 0.8);  // of four rows' choices
}

// Padding is left out of both losses and of their gradients (#28505, Megatron #2121).
TEST(Losses, DefectPaddingEntersLosses) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const Case& c : cases()) {
    if (c.group > 0 && c.probability.size(0) % c.group) continue;  // groups stay what they were
    const int64_t more = c.group == 1000 || c.group == 0 ? 9 : 2 * c.group + 1;
    const Tensor valid =
        c.valid.defined() ? c.valid : torch::ones({c.probability.size(0)}, torch::kBool);
    const Tensor longer = at::constant_pad_nd(valid, {0, more}, false);
    const auto losses = [&](const Tensor& logits, const Tensor& p, const Tensor& choice,
                            const Tensor& which) {
      return balance_loss(p, choice, c.choices, c.group, which) + router_z_loss(logits, which);
    };
    const auto padded = [&](const Tensor& x) {
      return at::constant_pad_nd(x.detach(), {0, 0, 0, more}, kNan).set_requires_grad(true);
    };
    const Tensor logits = c.logits.detach().clone().set_requires_grad(true),
                 p = c.probability.detach().clone().set_requires_grad(true);
    const Tensor long_logits = padded(c.logits), long_p = padded(c.probability);
    const Tensor short_loss = losses(logits, p, c.choice, c.valid);
    const Tensor long_loss =
        losses(long_logits, long_p, at::constant_pad_nd(c.choice, {0, 0, 0, more}, 0), longer);
    short_loss.backward();
    long_loss.backward();
    expect_same(c.name, long_loss, short_loss, static_cast<double>(c.choices));
    const int64_t rows = c.probability.size(0);
    for (const auto& [a, b] : {std::pair(logits, long_logits), std::pair(p, long_p)}) {
      expect_same(c.name, b.grad().slice(0, 0, rows), a.grad());
      EXPECT_EQ(largest(b.grad().slice(0, rows)), 0) << c.name;
      EXPECT_EQ(largest(a.grad().masked_fill(valid.unsqueeze(1), 0)), 0) << c.name;
    }
  }
}

TEST(RouterZLoss, EqualsALoopOverTokens) {
  for (const Case& c : cases()) {
    const auto x = doubles(c.logits);
    const auto width = static_cast<size_t>(c.logits.size(1));
    double sum = 0, count = 0;
    for (int64_t t = 0; t < c.logits.size(0); ++t) {
      if (!is_valid(c, t)) continue;
      double z = 0;
      for (size_t i = 0; i < width; ++i) z += std::exp(x[static_cast<size_t>(t) * width + i]);
      sum += std::log(z) * std::log(z);
      ++count;
    }
    expect_same(c.name, router_z_loss(c.logits, c.valid),
                torch::tensor(count > 0 ? sum / count : 0.0, torch::kFloat64));
  }
}

// Transformers 5 took it of the highest probability (issue #48293), which no shift of logits moves.
TEST(RouterZLoss, DefectTakenOfProbabilities) {
  const Tensor logits = torch::zeros({3, 4}, torch::kFloat64);
  for (const double shift : {0.0, 10.0, -10.0})
    EXPECT_DOUBLE_EQ(router_z_loss(logits + shift, {}).item<double>(),
                     std::pow(std::log(4) + shift, 2));
}

TEST(Losses, GradientsAreThoseOfCentralDifferences) {
  for (const Case& c : cases()) {
    if (c.probability.size(0) > 40 || (c.valid.defined() && !c.valid.any().item<bool>())) continue;
    expect_gradients(c.name,
                     [&](const std::vector<Tensor>& x) {
                       return balance_loss(torch::softmax(x[0], 1), c.choice, c.choices, c.group,
                                           c.valid);
                     },
                     {c.logits});
    expect_gradients(c.name,
                     [&](const std::vector<Tensor>& x) { return router_z_loss(x[0], c.valid); },
                     {c.logits});
  }
}

TEST(BalanceLoss, GradientTakesFromTheExpertThatHasMost) {
  const Tensor logits = torch::zeros({8, 4}, torch::kFloat64).set_requires_grad(true);
  balance_loss(torch::softmax(logits, 1), torch::full({8, 1}, 2, torch::kInt32), 4, 0, {})
      .backward();
  for (int64_t t = 0; t < 8; ++t)
    for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(logits.grad()[t][i].item<double>() > 0, i == 2);
}

TEST(Losses, WrongShapesAreNamed) {
  const Tensor p = torch::rand({4, 3}), choice = torch::zeros({4, 1}, torch::kInt32);
  EXPECT_EQ(error_of([&] { balance_loss(p, choice.slice(0, 1), 3, 0, {}); }),
            "[balance_loss] probabilities must be [T, M] and choices [T, k] but have shapes [4, 3] "
            "and [3, 1]");
  EXPECT_EQ(error_of([&] { balance_loss(p, choice, 4, 0, {}); }),
            "[balance_loss] no such balance: 4 of 3 choices in groups of 0 rows");
  EXPECT_EQ(error_of([&] { balance_loss(p, choice, 3, 0, torch::ones({3}, torch::kBool)); }),
            "[balance_loss] valid must be [4] but has shape [3]");
  EXPECT_EQ(error_of([&] { router_z_loss(p.flatten(), {}); }),
            "[router_z_loss] logits must be [T, M] but have shape [12]");
}

}  // namespace
}  // namespace pointwork::test
