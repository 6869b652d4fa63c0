#include "pointwork/nn/attend.h"

#include <gtest/gtest.h>

#include "tests/kernels/tolerance.h"
#include "tests/support/tensors.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
namespace reference = kernels::reference;

template <class T>
class AttendRows : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(AttendRows, Types);

struct Case {
  std::string name;
  Rows rows;
  int64_t heads, kv_heads, head_dim;
};

// Sequences of these lengths, one after another, `each` only where all are the same.
Rows ragged(const std::vector<int64_t>& lengths) {
  Rows rows;
  std::vector<int32_t> sequence, position, start = {0};
  for (size_t b = 0; b < lengths.size(); ++b) {
    for (int64_t t = 0; t < lengths[b]; ++t) {
      sequence.push_back(static_cast<int32_t>(b));
      position.push_back(static_cast<int32_t>(3 * t + 1));
    }
    start.push_back(static_cast<int32_t>(sequence.size()));
  }
  rows.sequence = ints(sequence);
  rows.position = ints(position);
  rows.start = ints(start);
  rows.root = torch::arange(rows.count(), torch::kInt32);
  return rows;
}

// A new document every 1 to 5 rows, running on over the ends of sequences.
Rows with_documents(Rows rows) {
  std::vector<int32_t> document;
  int32_t now = 0;
  for (int64_t t = 0; t < rows.count(); ++t) {
    if (random_uniform(5, static_cast<uint64_t>(t)) < 0.4) ++now;
    document.push_back(now);
  }
  rows.document = ints(document);
  return rows;
}

std::vector<Case> cases() {
  std::vector<Case> made;
  for (const int64_t length : kSizes) {
    if (length > 129) continue;
    const Rows uniform = uniform_rows(2, length, torch::kCPU);
    made.push_back({concat("2 x ", length), uniform, 2, 2, 8});
    made.push_back({concat("2 x ", length, ", documents"), with_documents(uniform), 2, 2, 8});
  }
  const Rows uneven = ragged({5, 0, 33, 1, 0});
  made.push_back({"ragged", uneven, 4, 4, 12});
  made.push_back({"ragged, documents", with_documents(uneven), 4, 4, 12});
  made.push_back({"ragged, grouped", uneven, 6, 2, 7});
  made.push_back({"grouped", uniform_rows(3, 17, torch::kCPU), 6, 2, 7});
  made.push_back(
      {"grouped, documents", with_documents(uniform_rows(3, 17, torch::kCPU)), 6, 1, 16});
  made.push_back({"no rows", ragged({0, 0}), 2, 1, 4});
  return made;
}

struct Inputs {
  Tensor query, key, value;
};

Inputs inputs(const Case& c, torch::Dtype dtype) {
  const int64_t n = c.rows.count();
  return {normal({n, c.heads, c.head_dim}, 1, dtype), normal({n, c.kv_heads, c.head_dim}, 2, dtype),
          normal({n, c.kv_heads, c.head_dim}, 3, dtype)};
}

// Each row with the rows it may see as a cache of its own.
reference::Bounded expected(const Case& c, const Inputs& in, double scale) {
  const int64_t n = c.rows.count(), width = c.kv_heads * c.head_dim;
  const auto key = doubles(in.key), value = doubles(in.value);
  const auto sequence = elements<int32_t>(c.rows.sequence);
  const auto document =
      c.rows.document.defined() ? elements<int32_t>(c.rows.document) : std::vector<int32_t>();
  std::vector<int32_t> own, visible;
  std::vector<reference::Values> keys, values;
  for (int64_t t = 0; t < n; ++t) {
    reference::Values k, v;
    for (int64_t j = 0; j <= t; ++j) {
      if (sequence[j] != sequence[t]) continue;
      if (!document.empty() && document[j] != document[t]) continue;
      k.insert(k.end(), key.begin() + j * width, key.begin() + (j + 1) * width);
      v.insert(v.end(), value.begin() + j * width, value.begin() + (j + 1) * width);
    }
    own.push_back(static_cast<int32_t>(t));
    visible.push_back(static_cast<int32_t>(static_cast<int64_t>(k.size()) / width));
    keys.push_back(std::move(k));
    values.push_back(std::move(v));
  }
  return reference::attend(doubles(in.query), {c.heads, c.kv_heads, c.head_dim}, own, visible, keys,
                           values, scale);
}

TYPED_TEST(AttendRows, EqualsReference) {
  using T = TypeParam;
  for (const Case& c : cases()) {
    const Inputs in = inputs(c, kDtype<T>);
    const double scale = 0.5;
    const Tensor out = attend(in.query, in.key, in.value, c.rows, scale);
    // The library rounds softmax to bfloat16 before it meets the values: each term then carries
    // that rounding, not the sum's.
    const double epsilon = std::is_same_v<T, BFloat16> ? kRoundoff<T> : kEpsilon<T>;
    expect_close(c.name, elements<T>(out), expected(c, in, scale),
                 static_cast<double>(std::max<int64_t>(c.rows.count(), c.head_dim)), epsilon);
  }
}

TEST(AttendRows, GradientsEqualCentralDifferences) {
  for (const Case& c : cases()) {
    if (c.rows.count() > 51 || c.rows.count() == 0) continue;
    const Inputs in = inputs(c, torch::kFloat64);
    expect_gradients(c.name,
                     [&](const auto& in) { return attend(in[0], in[1], in[2], c.rows, 0.3); },
                     {in.query, in.key, in.value});
  }
}

// Whatever stands in the tail of a sequence, the rows before it keep their bits.
TYPED_TEST(AttendRows, PaddingAtTheTailIsSeenByNobody) {
  using T = TypeParam;
  for (const bool documents : {false, true}) {
    Case c{"padded", uniform_rows(2, 19, torch::kCPU), 4, 2, 8};
    if (documents) c.rows = with_documents(c.rows);
    Inputs in = inputs(c, kDtype<T>);
    const Tensor before = attend(in.query, in.key, in.value, c.rows, 0.4);
    for (const Tensor& x : {in.query, in.key, in.value}) {
      x.slice(0, 12, 19).fill_(30.0);
      x.slice(0, 19 + 18, 38).fill_(-30.0);
    }
    const Tensor after = attend(in.query, in.key, in.value, c.rows, 0.4);
    for (const auto& [first, last] : {std::pair{0, 12}, std::pair{19, 19 + 18}})
      EXPECT_TRUE(same_bits(before.slice(0, first, last), after.slice(0, first, last)))
          << documents;
  }
}

TEST(AttendRows, WrongShapesAreNamed) {
  const Rows rows = uniform_rows(2, 3, torch::kCPU);
  const Tensor six = normal({6, 2, 4}, 1);
  EXPECT_EQ(error_of([&] {
              attend(normal({5, 2, 4}, 1), six, six, rows, 1);
            }),
            "[attend] query must be [6, H, hd] but has shape [5, 2, 4]");
  EXPECT_EQ(error_of([&] {
              attend(six, normal({6, 2, 3}, 1), six, rows, 1);
            }),
            "[attend] key must be [6, K, 4] but has shape [6, 2, 3]");
  EXPECT_EQ(error_of([&] {
              attend(six, six, normal({6, 1, 4}, 1), rows, 1);
            }),
            "[attend] value must be [6, 2, 4] as key is but has shape [6, 1, 4]");
  EXPECT_EQ(error_of([&] {
              attend(normal({6, 3, 4}, 1), six, six, rows, 1);
            }),
            "[attend] 3 query heads are no multiple of 2 key-value heads");
}

}  // namespace
}  // namespace pointwork::test
