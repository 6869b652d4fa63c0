#include "pointwork/route/entered.h"

namespace pointwork {
namespace {

// Rows of the model's input by number; -1 in an empty slot.
struct Sequences {
  Tensor of;  // int32 [rows of the input]
  int32_t of_root(int32_t root) const { return of.data_ptr<int32_t>()[root]; }
};

// Pairs of one head: of those that asked, with the rows that they saw.
std::vector<double> pairs_of(const Route& route, const Tensor& root, const Sequences& sequences,
                             size_t count) {
  const int32_t* of = root.data_ptr<int32_t>();
  std::vector<uint8_t> asks(static_cast<size_t>(root.size(0)), !route.attending.defined());
  if (route.attending.defined()) {
    const Tensor attending = route.attending.cpu();
    // In training the empty slots of each sequence's tail are computed, too.
    if (attending.lt(0).any().item<bool>()) {
      const double each = static_cast<double>(attending.size(0) / route.sequences);
      return std::vector<double>(count, each * (each + 1) / 2);
    }
    for (int64_t i = 0; i < attending.size(0); ++i) {
      const int32_t row = attending.data_ptr<int32_t>()[i];
      if (row >= 0) asks[static_cast<size_t>(row)] = 1;
    }
  }
  std::vector<double> seen(count, 0), pairs(count, 0);
  for (int64_t t = 0; t < root.size(0); ++t) {
    if (of[t] < 0) continue;
    const auto at = static_cast<size_t>(sequences.of_root(of[t]));
    const bool asked = asks[static_cast<size_t>(t)];
    if (asked || !route.masked) seen[at] += 1;
    if (asked) pairs[at] += seen[at];
  }
  return pairs;
}

}  // namespace

std::vector<Entered> entered_of(const std::vector<Route>& routes, const Rows& rows) {
  const Sequences sequences{rows.sequence.cpu()};
  const auto count = static_cast<size_t>(rows.sequences());
  std::vector<Entered> all;
  for (const Route& route : routes) {
    Entered& one = all.emplace_back();
    one.rows.assign(count, 0);
    const Tensor token = route.token.cpu(), root = route.root.cpu();
    for (int64_t slot = 0; slot < token.size(0); ++slot) {
      const int32_t row = token.data_ptr<int32_t>()[slot];
      if (row < 0) continue;
      const int32_t sequence = sequences.of_root(root.data_ptr<int32_t>()[row]);
      ++one.rows[static_cast<size_t>(sequence)];
    }
    if (route.projections) one.pairs = pairs_of(route, root, sequences, count);
  }
  return all;
}

}  // namespace pointwork
