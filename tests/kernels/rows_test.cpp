#include "pointwork/kernels/rows.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "tests/kernels/tolerance.h"

namespace pointwork::test {
namespace {

using kernels::BFloat16;
namespace cpu = kernels::cpu;
namespace reference = kernels::reference;

template <class T>
class Rows : public ::testing::Test {};
using Types = ::testing::Types<float, double, BFloat16>;
TYPED_TEST_SUITE(Rows, Types);

const std::vector<int64_t> kWidths = {1, 31, 64, 129};

template <class T>
std::string label(const RouteCase& route, int64_t width) {
  return route.name + ", width " + std::to_string(width) + ", bytes " + std::to_string(sizeof(T));
}

TYPED_TEST(Rows, GatherEqualsReference) {
  using T = TypeParam;
  for (const RouteCase& route : route_cases()) {
    for (const int64_t width : kWidths) {
      const auto slots = static_cast<int64_t>(route.token.size());
      const auto x = random_values<T>(route.rows * width, 1);
      const auto weight = random_values<float>(slots, 2);
      std::vector<T> out(static_cast<size_t>(slots * width), T(7.0f));
      cpu::gather_rows(x.data(), route.token.data(), nullptr, out.data(), slots, width);
      EXPECT_EQ(widened(out), reference::gather_rows(widened(x), route.token, {}, width).value)
          << label<T>(route, width);
      cpu::gather_rows(x.data(), route.token.data(), weight.data(), out.data(), slots, width);
      expect_close(label<T>(route, width), out,
                   reference::gather_rows(widened(x), route.token, widened(weight), width), 1,
                   kEpsilon<T>);
    }
  }
}

TYPED_TEST(Rows, ScatterEqualsReference) {
  using T = TypeParam;
  for (const RouteCase& route : route_cases()) {
    const auto slots = static_cast<int64_t>(route.token.size());
    const auto index = reference::index_slots(route.token, route.rows);
    for (const int64_t width : kWidths) {
      const auto base = random_values<T>(route.rows * width, 1),
                 y = random_values<T>(slots * width, 2);
      const auto weight = random_values<float>(slots, 3);
      const auto run = [&](const T* from, const float* w, T* to) {
        cpu::scatter_rows(from, y.data(), w, index.row_offset.data(), index.row_slot.data(), to,
                          route.rows, width);
      };
      const auto n = static_cast<double>(slots + 1);
      std::vector<T> out(base.size(), T(7.0f));
      run(base.data(), weight.data(), out.data());
      const auto want = reference::scatter_rows(widened(base), widened(y), widened(weight),
                                                route.token, route.rows, width);
      expect_close(label<T>(route, width), out, want, n, kEpsilon<T>);
      std::vector<T> same = base;
      run(same.data(), weight.data(), same.data());
      EXPECT_EQ(widened(same), widened(out)) << "in place, " << label<T>(route, width);
      run(nullptr, nullptr, out.data());
      expect_close(label<T>(route, width), out,
                   reference::scatter_rows({}, widened(y), {}, route.token, route.rows, width), n,
                   kEpsilon<T>);
    }
  }
}

TYPED_TEST(Rows, GatherDotEqualsReference) {
  using T = TypeParam;
  for (const RouteCase& route : route_cases()) {
    for (const int64_t width : kWidths) {
      const auto slots = static_cast<int64_t>(route.token.size());
      const auto d_out = random_values<T>(route.rows * width, 1),
                 y = random_values<T>(slots * width, 2);
      const auto weight = random_values<float>(slots, 3);
      std::vector<T> d_y(y.size(), T(7.0f));
      std::vector<float> d_weight(static_cast<size_t>(slots), 7);
      cpu::gather_dot_rows(d_out.data(), y.data(), route.token.data(), weight.data(), d_y.data(),
                           d_weight.data(), slots, width);
      const auto want = reference::gather_dot_rows(widened(d_out), widened(y), route.token,
                                                   widened(weight), width);
      expect_close("d_y, " + label<T>(route, width), d_y, want.d_y, 1, kEpsilon<T>);
      expect_close("d_weight, " + label<T>(route, width), d_weight, want.d_weight,
                   static_cast<double>(width), kEpsilon<T>);
    }
  }
}

// Rows without a slot are not even read where base is out: a signalling pattern stays, whatever the
// arithmetic would make of it.
TEST(Rows, InPlaceScatterTouchesOnlyRowsWithSlots) {
  std::vector<BFloat16> x(3 * 8);
  for (auto& value : x) value.bits = 0x7F81;
  const std::vector<int32_t> offset = {0, 0, 1, 1}, slot = {0};
  const std::vector<BFloat16> y(8, BFloat16(2.0f));
  for (int64_t i = 8; i < 16; ++i) x[i] = BFloat16(1.0f);
  cpu::scatter_rows(x.data(), y.data(), nullptr, offset.data(), slot.data(), x.data(), 3, 8);
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_EQ(x[i].bits, i / 8 == 1 ? BFloat16(3.0f).bits : 0x7F81) << i;
}

TEST(Rows, IndexIsTheTranspose) {
  for (const RouteCase& route : route_cases()) {
    const auto slots = static_cast<int64_t>(route.token.size());
    std::vector<int32_t> offset(static_cast<size_t>(route.rows) + 1, 7),
        slot(route.token.size(), 7);
    const int64_t filled =
        cpu::index_slots(route.token.data(), slots, route.rows, offset.data(), slot.data());
    slot.resize(static_cast<size_t>(filled));
    const auto want = reference::index_slots(route.token, route.rows);
    EXPECT_EQ(offset, want.row_offset) << route.name;
    EXPECT_EQ(slot, want.row_slot) << route.name;
  }
}

TEST(Rows, ResultsDependOnNoThreadCount) {
  const int64_t rows = 4096, width = 64, slots = 2 * rows;
  std::vector<int32_t> token(static_cast<size_t>(slots)), offset(rows + 1), slot(token.size());
  for (size_t s = 0; s < token.size(); ++s)
    token[s] = static_cast<int32_t>(random_below(rows, 5, s));
  cpu::index_slots(token.data(), slots, rows, offset.data(), slot.data());
  const auto y = random_values<float>(slots * width, 1);
  const auto weight = random_values<float>(slots, 2);
  const auto run = [&](int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    std::vector<float> out(static_cast<size_t>(rows * width));
    cpu::scatter_rows<float>(nullptr, y.data(), weight.data(), offset.data(), slot.data(),
                             out.data(), rows, width);
    omp_set_num_threads(before);
    return out;
  };
  EXPECT_EQ(run(1), run(3));
}

}  // namespace
}  // namespace pointwork::test
