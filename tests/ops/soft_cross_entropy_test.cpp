// The head's loss beside a teacher.

#include <gtest/gtest.h>

#include <optional>

#include "pointwork/ops/cross_entropy.h"
#include "pointwork/ops/device.h"
#include "tests/kernels/tolerance.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;

template <class T>
class TaughtLoss : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(TaughtLoss, Types);

// Every fourth row counts for nothing.
Tensor targets(int64_t rows, int64_t vocab) {
  std::vector<int32_t> target;
  for (int64_t t = 0; t < rows; ++t) {
    const auto id = random_below(static_cast<uint64_t>(vocab), 5, static_cast<uint64_t>(t));
    target.push_back(t % 4 == 3 ? -1 : static_cast<int32_t>(id));
  }
  return ints(target);
}

struct Inputs {
  Tensor hidden, head, target;
  TaughtBy by;
};

// The teacher is wider than the student.
Inputs inputs_of(int64_t rows, int64_t size, int64_t vocab, double temperature,
                 torch::Dtype dtype) {
  return {normal({rows, size}, 1, dtype).set_requires_grad(true),
          normal({vocab, size}, 2, dtype, 0.3).set_requires_grad(true),
          targets(rows, vocab),
          {.hidden = normal({rows, size + 7}, 3, dtype),
           .head = normal({vocab, size + 7}, 4, dtype, 0.3),
           .temperature = temperature,
           .hard_weight = 0.6,
           .soft_weight = 0.3}};
}

struct Expected {
  Tensor loss, language, nll_sum, soft_sum, d_hidden, d_head;
};

// As it is defined, in float64, differentiated by the library.
Expected expected(const Inputs& in, double z_loss) {
  const auto wide = [](const Tensor& x) { return x.detach().to(torch::kFloat64); };
  Tensor hidden = wide(in.hidden).set_requires_grad(true),
         head = wide(in.head).set_requires_grad(true);
  const Tensor logits = hidden.mm(head.t());
  const Tensor q = (wide(in.by.hidden).mm(wide(in.by.head).t()) / in.by.temperature).softmax(1);
  const Tensor counts = in.target.ge(0).to(torch::kFloat64);
  const Tensor index = in.target.clamp_min(0).to(torch::kInt64).unsqueeze(1);
  const Tensor nll = -logits.log_softmax(1).gather(1, index).squeeze(1) * counts;
  const Tensor soft = -(q * (logits / in.by.temperature).log_softmax(1)).sum(1) * counts;
  const Tensor z = z_loss * logits.logsumexp(1).square() * counts;
  const Tensor count = counts.sum().clamp_min(1);
  const double square = in.by.temperature * in.by.temperature;
  Tensor loss = (in.by.hard_weight * nll + z + in.by.soft_weight * square * soft).sum() / count;
  loss.backward();
  return {loss.detach(),      ((nll + z).sum() / count).detach(),
          nll.sum().detach(), soft.sum().detach(),
          hidden.grad(),      head.grad()};
}

// Logits of magnitude L have a relative error of u + c·√n·eps (their own rounding, and the sum's),
// which exponentials pass on to probabilities; what is summed then adds up such errors.
template <class T>
double tolerance(const Inputs& in) {
  const double logits =
      std::max(largest(in.hidden.mm(in.head.t())), largest(in.by.hidden.mm(in.by.head.t()))) /
      std::min(1.0, in.by.temperature);
  const double n = static_cast<double>(std::max(in.head.size(0), in.by.hidden.size(1)));
  return (4 * std::sqrt(n) * kEpsilon<T> + kRoundoff<T>)*(1 + logits);
}

TYPED_TEST(TaughtLoss, EqualsReferenceInChunksOfAnySize) {
  using T = TypeParam;
  struct Case {
    int64_t rows, size, vocab;
  };
  std::vector<Case> cases;
  for (const int64_t n : kSizes) {
    cases.push_back({n, 33, 61});
    cases.push_back({40, n, 61});
    cases.push_back({33, 31, n});
  }
  for (size_t i = 0; i < cases.size(); ++i) {
    const Case& c = cases[i];
    const double temperature = i % 3 == 0 ? 1 : i % 3 == 1 ? 2.5 : 0.7;
    const double z = i % 2 ? 1e-2 : 0;
    const Inputs in = inputs_of(c.rows, c.size, c.vocab, temperature, kDtype<T>);
    const Expected want = expected(in, z);
    const double close = tolerance<T>(in);
    for (const bool composite : {false, true}) {
      std::optional<CompositeGuard> guard;
      if (composite) guard.emplace();
      for (const int64_t chunk : {int64_t{1}, 50 * c.vocab * in.hidden.element_size(), 1L << 30}) {
        if (composite && chunk == 1) continue;
        const std::string what =
            concat(c.rows, " rows of ", c.size, ", vocabulary ", c.vocab, ", temperature ",
                   temperature, ", chunks of ", chunk, composite ? ", composite" : "");
        for (const Tensor& x : {in.hidden, in.head}) x.mutable_grad().reset();
        const auto got = cross_entropy(in.hidden, in.head, in.target,
                                       {.z_loss = z, .chunk_bytes = chunk}, &in.by);
        got.loss.backward();
        const auto near = [&](const char* name, const Tensor& is, const Tensor& should,
                              double magnitude) {
          expect_within(concat(name, ", ", what), is, should,
                        torch::full_like(should, close * std::max(magnitude, largest(should))));
        };
        const double rows = static_cast<double>(c.rows);
        near("loss", got.loss, want.loss, 1);
        near("language", got.language, want.language, 1);
        near("nll", got.nll_sum, want.nll_sum, rows);
        near("soft", got.soft_sum, want.soft_sum, rows);
        // A row's gradient is of the size of the largest weight that its logits' gradients meet.
        near("d_hidden", in.hidden.grad(), want.d_hidden, largest(in.head) / rows);
        near("d_head", in.head.grad(), want.d_head, largest(in.hidden));
        EXPECT_FALSE(got.language.requires_grad());

        // Beside a teacher, what is told of the text is what it is alone.
        const auto alone =
            cross_entropy(in.hidden, in.head, in.target, {.z_loss = z, .chunk_bytes = chunk});
        near("alone", got.language, alone.loss.detach().to(torch::kFloat64), 1);
        EXPECT_FALSE(alone.soft_sum.defined());
        EXPECT_TRUE(same_bits(alone.language, alone.loss.detach())) << what;

        const torch::NoGradGuard no_grad;
        const auto quiet = cross_entropy(in.hidden, in.head, in.target,
                                         {.z_loss = z, .chunk_bytes = chunk}, &in.by);
        EXPECT_TRUE(same_bits(quiet.loss, got.loss.detach())) << what;
        EXPECT_TRUE(same_bits(quiet.soft_sum, got.soft_sum)) << what;
      }
    }
  }
}

TEST(TaughtLoss, GradientsEqualCentralDifferences) {
  const Tensor target = ints({3, -1, 0, 4, 4, -1, 2});
  for (const double temperature : {1.0, 3.0}) {
    for (const double factor : {1.0, -0.7}) {
      const TaughtBy by{.hidden = normal({7, 6}, 5),
                        .head = normal({5, 6}, 6),
                        .temperature = temperature,
                        .hard_weight = 0.75,
                        .soft_weight = 0.25};
      expect_gradients(
          "cross_entropy beside a teacher",
          [&](const auto& in) {
            return factor *
                   cross_entropy(in[0], in[1], target, {.z_loss = 0.1}, &by).loss.unsqueeze(0) /
                   normal({1}, 99);
          },
          {normal({7, 4}, 1), normal({5, 4}, 2)});
    }
  }
}

// Of a teacher that says what the student says: the soft loss is the entropy, and it pulls nowhere.
TYPED_TEST(TaughtLoss, ATeacherThatAgreesPullsNowhere) {
  using T = TypeParam;
  Inputs in = inputs_of(20, 8, 31, 2, kDtype<T>);
  in.by.hidden = in.hidden.detach(), in.by.head = in.head.detach();
  in.by.hard_weight = 0, in.by.soft_weight = 1;
  for (const bool composite : {false, true}) {
    std::optional<CompositeGuard> guard;
    if (composite) guard.emplace();
    for (const Tensor& x : {in.hidden, in.head}) x.mutable_grad().reset();
    const auto got = cross_entropy(in.hidden, in.head, in.target, {}, &in.by);
    got.loss.backward();
    EXPECT_LE(largest(in.hidden.grad()), 8 * kEpsilon<T>);
    EXPECT_LE(largest(in.head.grad()), 8 * kEpsilon<T>);
    EXPECT_GT(got.soft_sum.template item<double>(), 1);
  }
}

// Rows without a target take no part, whatever stands in them.
TYPED_TEST(TaughtLoss, IgnoresRowsWithoutATarget) {
  using T = TypeParam;
  const Inputs in = inputs_of(9, 5, 11, 1, kDtype<T>);
  const auto before = cross_entropy(in.hidden, in.head, in.target, {}, &in.by);
  before.loss.backward();
  const Tensor d_head = in.head.grad().clone();
  in.head.mutable_grad().reset();
  Inputs other = in;
  other.hidden = in.hidden.detach().clone();
  other.by.hidden = in.by.hidden.clone();
  for (const Tensor& x : {other.hidden, other.by.hidden}) {
    Tensor(x[3]).fill_(7);
    Tensor(x[7]).fill_(-3);
  }
  other.hidden.set_requires_grad(true);
  const auto after = cross_entropy(other.hidden, in.head, in.target, {}, &other.by);
  after.loss.backward();
  EXPECT_TRUE(same_bits(before.loss.detach(), after.loss.detach()));
  EXPECT_TRUE(same_bits(before.soft_sum, after.soft_sum));
  EXPECT_TRUE(same_bits(d_head, in.head.grad()));
  EXPECT_EQ(largest(other.hidden.grad()[3]), 0);

  const Tensor none = torch::full({9}, -1, torch::kInt32);
  const auto nothing = cross_entropy(in.hidden, in.head, none, {}, &in.by);
  EXPECT_EQ(nothing.loss.template item<double>(), 0);
  EXPECT_EQ(nothing.soft_sum.template item<double>(), 0);
}

TEST(TaughtLoss, WrongTeachersAreNamed) {
  const Inputs good = inputs_of(3, 4, 7, 1, torch::kFloat32);
  const auto problem = [&](const std::function<void(TaughtBy&)>& spoil) {
    TaughtBy by = good.by;
    spoil(by);
    return error_of([&] { cross_entropy(good.hidden, good.head, good.target, {}, &by); });
  };
  EXPECT_EQ(problem([](TaughtBy& by) {
              by.hidden = normal({3, 5}, 1, torch::kFloat32);
            }),
            "[cross_entropy] the teacher's hidden must be [T, 11] but has shape [3, 5]");
  EXPECT_EQ(problem([](TaughtBy& by) {
              by.hidden = normal({2, 11}, 1, torch::kFloat32);
            }),
            "[cross_entropy] the teacher's hidden must have 3 rows but has 2");
  EXPECT_EQ(problem([](TaughtBy& by) {
              by.head = normal({8, 11}, 1, torch::kFloat32);
            }),
            "[cross_entropy] the teacher's head must be of 7 tokens but is of 8");
  EXPECT_EQ(problem([](TaughtBy& by) { by.hidden = by.hidden.to(torch::kFloat64); }),
            "[cross_entropy] the teacher must be in Float but is in Double");
  EXPECT_EQ(problem([](TaughtBy& by) { by.temperature = 0; }),
            "[cross_entropy] temperature must be above 0 but is 0");
}

}  // namespace
}  // namespace pointwork::test
