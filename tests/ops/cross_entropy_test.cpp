#include "pointwork/ops/cross_entropy.h"

#include <gtest/gtest.h>

#include <optional>

#include "pointwork/ops/device.h"
#include "tests/kernels/tolerance.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;

template <class T>
class HeadLoss : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(HeadLoss, Types);

struct Case {
  int64_t rows, size, vocab;
  double z_loss;
};

std::vector<Case> cases() {
  std::vector<Case> made;
  for (const int64_t n : kSizes) {
    made.push_back({n, 33, 61, 0});
    made.push_back({40, n, 61, 1e-2});
    made.push_back({33, 31, n, 1e-2});
  }
  return made;
}

// Every fourth row counts for nothing.
Tensor targets(const Case& c) {
  std::vector<int32_t> target;
  for (int64_t t = 0; t < c.rows; ++t) {
    const auto id = random_below(static_cast<uint64_t>(c.vocab), 5, static_cast<uint64_t>(t));
    target.push_back(t % 4 == 3 ? -1 : static_cast<int32_t>(id));
  }
  return ints(target);
}

// The loss and its gradients in float64, written as they are defined, each with a bound on what
// arithmetic in T may differ by.
struct Expected {
  Tensor loss, loss_bound, nll_sum, nll_bound, d_hidden, hidden_bound, d_head, head_bound;
  int64_t count;
};

template <class T>
Expected expected(const Case& c, const Tensor& hidden, const Tensor& head, const Tensor& target) {
  const double u = kRoundoff<T>, eps = kEpsilon<T>;
  // Row losses are float32 sums whatever T is, but in float64, which takes the library's ops.
  const auto n = [](int64_t terms) { return 4 * std::sqrt(static_cast<double>(terms)); };
  const Tensor h = hidden.detach().to(torch::kFloat64), w = head.detach().to(torch::kFloat64);
  const Tensor counts = target.ge(0), index = target.clamp_min(0).to(torch::kInt64).unsqueeze(1);
  Expected e;
  e.count = counts.sum().item<int64_t>();
  const double factor = 1 / static_cast<double>(std::max<int64_t>(e.count, 1));
  const Tensor logits = h.mm(w.t());
  const Tensor largest_row = std::get<0>(logits.abs().max(1));
  // A logit's sum, and its rounding to T.
  const Tensor logit_error = u * logits.abs() + n(c.size) * eps * h.abs().mm(w.abs().t());
  const Tensor row_error = std::get<0>(logit_error.max(1));
  const Tensor lse = logits.logsumexp(1);
  const Tensor nll = (lse - logits.gather(1, index).squeeze(1)) * counts;
  // Subtracting the largest logit, exponentials of the differences, their sum and its logarithm.
  const Tensor nll_error =
      (2 * row_error + n(c.vocab) * eps * (4 + 3 * largest_row + lse.abs())) * counts;
  const Tensor z_error =
      2 * c.z_loss * (lse.abs() + nll_error) * nll_error + 4 * eps * c.z_loss * lse.square();
  e.nll_sum = nll.sum();
  e.nll_bound = nll_error.sum();
  e.loss = factor * (nll + c.z_loss * lse.square() * counts).sum();
  const double out = std::is_same_v<T, double> ? kRoundoff<double> : kRoundoff<float>;
  e.loss_bound = factor * (nll_error + z_error * counts).sum() + out * e.loss.abs();

  const Tensor scale = factor * counts.to(torch::kFloat64).unsqueeze(1);
  const Tensor softmax = (logits - lse.unsqueeze(1)).exp();
  const Tensor pull = (1 + 2 * c.z_loss * lse).unsqueeze(1);
  Tensor grad = softmax * pull * scale;
  const Tensor onehot = torch::zeros_like(grad).scatter_add(1, index, scale);
  const Tensor error = nll_error.unsqueeze(1) + row_error.unsqueeze(1);
  const Tensor grad_error = softmax * scale * (error * (pull.abs() + 2 * c.z_loss)) * 2 +
                            4 * eps * (grad.abs() + onehot) + u * (grad - onehot).abs();
  grad = grad - onehot;
  e.d_hidden = grad.mm(w);
  e.hidden_bound =
      u * e.d_hidden.abs() + grad_error.mm(w.abs()) + n(c.vocab) * eps * grad.abs().mm(w.abs());
  e.d_head = grad.t().mm(h);
  // In bfloat16 each chunk's product is rounded before it is added up in float32.
  e.head_bound = u * e.d_head.abs() + grad_error.t().mm(h.abs()) +
                 (n(c.rows) * eps + u) * grad.abs().t().mm(h.abs());
  return e;
}

TYPED_TEST(HeadLoss, EqualsReferenceInChunksOfAnySize) {
  using T = TypeParam;
  for (const Case& c : cases()) {
    const Tensor hidden = normal({c.rows, c.size}, 1, kDtype<T>).set_requires_grad(true);
    const Tensor head = normal({c.vocab, c.size}, 2, kDtype<T>, 0.3).set_requires_grad(true);
    const Tensor target = targets(c);
    const Expected want = expected<T>(c, hidden, head, target);
    for (const bool composite : {false, true}) {
      std::optional<CompositeGuard> guard;
      if (composite) guard.emplace();
      for (const int64_t chunk : {int64_t{1}, 50 * c.vocab * hidden.element_size(), 1L << 30}) {
        if (composite && chunk == 1) continue;
        const std::string what = concat(c.rows, " rows of ", c.size, ", vocabulary ", c.vocab,
                                        ", chunks of ", chunk, composite ? ", composite" : "");
        for (const Tensor& x : {hidden, head}) x.mutable_grad().reset();
        const auto got =
            cross_entropy(hidden, head, target, {.z_loss = c.z_loss, .chunk_bytes = chunk});
        got.loss.backward();
        expect_within("loss, " + what, got.loss, want.loss, want.loss_bound);
        expect_within("nll, " + what, got.nll_sum, want.nll_sum, want.nll_bound);
        expect_within("d_hidden, " + what, hidden.grad(), want.d_hidden, want.hidden_bound);
        expect_within("d_head, " + what, head.grad(), want.d_head, want.head_bound);
        EXPECT_EQ(got.count.item<int64_t>(), want.count);
        EXPECT_EQ(got.nll_sum.scalar_type(), torch::kFloat64);
        EXPECT_EQ(got.loss.scalar_type(),
                  (std::is_same_v<T, double>) ? torch::kFloat64 : torch::kFloat32);

        const torch::NoGradGuard no_grad;
        const auto quiet =
            cross_entropy(hidden, head, target, {.z_loss = c.z_loss, .chunk_bytes = chunk});
        EXPECT_TRUE(same_bits(quiet.loss, got.loss.detach())) << what;
      }
    }
  }
}

TEST(HeadLoss, GradientsEqualCentralDifferences) {
  const Tensor target = ints({3, -1, 0, 4, 4, -1, 2});
  for (const double z : {0.0, 0.1}) {
    for (const double factor : {1.0, -0.7}) {  // a unit gradient has a way of its own
      expect_gradients(
          "cross_entropy",
          [&](const auto& in) {
            return factor * cross_entropy(in[0], in[1], target, {.z_loss = z}).loss.unsqueeze(0) /
                   normal({1}, 99);
          },
          {normal({7, 4}, 1), normal({5, 4}, 2)});
    }
  }
}

// The mean is over the targets that count, exactly.
TEST(HeadLoss, LossIsTheSumOverTheCount) {
  const Case c{40, 9, 11, 0};
  const auto got = cross_entropy(normal({40, 9}, 1), normal({11, 9}, 2), targets(c));
  expect_same("loss", got.loss, got.nll_sum / got.count.to(torch::kFloat64));
}

TYPED_TEST(HeadLoss, WithoutTargetsLossAndGradientsAreZero) {
  using T = TypeParam;
  for (const int64_t rows : {0, 1, 5}) {
    const Tensor hidden = normal({rows, 4}, 1, kDtype<T>).set_requires_grad(true);
    const Tensor head = normal({7, 4}, 2, kDtype<T>).set_requires_grad(true);
    const Tensor target = torch::full({rows}, -1, torch::kInt32);
    const auto got = cross_entropy(hidden, head, target, {.z_loss = 0.1});
    got.loss.backward();
    EXPECT_EQ(got.loss.template item<double>(), 0);
    EXPECT_EQ(got.nll_sum.template item<double>(), 0);
    EXPECT_EQ(got.count.template item<int64_t>(), 0);
    EXPECT_EQ(largest(hidden.grad()), 0);
    EXPECT_EQ(largest(head.grad()), 0) << rows;
  }
}

// A hidden row that is no number makes the loss none, unless its target does not count.
TYPED_TEST(HeadLoss, NotANumberShows) {
  using T = TypeParam;
  for (const int64_t at : {0, 1}) {
    const Tensor hidden = normal({3, 4}, 1, kDtype<T>);
    hidden[at].fill_(std::nan(""));
    const auto got = cross_entropy(hidden, normal({7, 4}, 2, kDtype<T>), ints({3, -1, 2}));
    EXPECT_EQ(std::isnan(got.loss.template item<double>()), at == 0);
  }
}

TYPED_TEST(HeadLoss, SameBitsAgain) {
  using T = TypeParam;
  const Case c{129, 32, 1000, 1e-3};
  const auto run = [&] {
    const Tensor hidden = normal({c.rows, c.size}, 1, kDtype<T>).set_requires_grad(true);
    const Tensor head = normal({c.vocab, c.size}, 2, kDtype<T>).set_requires_grad(true);
    const auto got = cross_entropy(hidden, head, targets(c), {.z_loss = 1e-3});
    got.loss.backward();
    return std::vector<Tensor>{got.loss, got.nll_sum, hidden.grad(), head.grad()};
  };
  const auto first = run(), second = run();
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(same_bits(first[i], second[i])) << i;
}

TEST(HeadLoss, WrongShapesAreNamed) {
  const Tensor hidden = normal({3, 4}, 1), head = normal({7, 4}, 2);
  EXPECT_EQ(error_of([&] {
              cross_entropy(hidden, normal({7, 5}, 2), ints({1, 2, 3}));
            }),
            "[cross_entropy] hidden must be [T, 5] but has shape [3, 4]");
  EXPECT_EQ(error_of([&] {
              cross_entropy(hidden, head, ints({1, 2}));
            }),
            "[cross_entropy] target must be [3] but has shape [2]");
  EXPECT_EQ(error_of([&] {
              cross_entropy(hidden, head, ints({1, 7, 2}));
            }),
            "[cross_entropy] targets must be below 7 but one is 7");
}

}  // namespace
}  // namespace pointwork::test
