#include <cmath>

#include "pointwork/kernels/reference.h"

namespace pointwork::kernels::reference {
namespace {

// A value, and the magnitudes that its error is a multiple of: eps · terms.
struct Term {
  double value, terms;
  Term(double exact) : value(exact), terms(std::abs(exact)) {}
  Term(double what, double magnitude) : value(what), terms(magnitude) {}
};
Term operator+(const Term& a, const Term& b) { return {a.value + b.value, a.terms + b.terms}; }
Term operator-(const Term& a, const Term& b) { return {a.value - b.value, a.terms + b.terms}; }
Term operator*(const Term& a, const Term& b) {
  return {a.value * b.value, std::abs(a.value) * b.terms + a.terms * std::abs(b.value)};
}

// An exponential of floats that would be below their smallest normal number may be 0.
constexpr double kUnderflow = 0x1p-126 / 0x1p-23;

// Both turn the absolute error of x into one of their own by their slope.
Term sigmoid(const Term& x) {
  const double s = 1 / (1 + std::exp(-x.value));
  return {s, s * (2 + (1 - s) * x.terms) + kUnderflow};
}
Term tanh(const Term& x) {
  const double t = std::tanh(x.value);
  return {t, std::abs(t) + (1 - t * t) * x.terms};
}

struct Cell {
  Term reset, update, fresh, turned, before;
};

Cell cell_of(const Values& a, const Values& c, const Values& h, int64_t t, int64_t i,
             int64_t size) {
  const int64_t row = t * 3 * size + i, own = h.empty() ? i : row;
  const Term turned = c[own + 2 * size];
  const Term reset = sigmoid(Term(a[row]) + c[own]);
  return {reset, sigmoid(Term(a[row + size]) + c[own + size]),
          tanh(Term(a[row + 2 * size]) + reset * turned), turned, h.empty() ? 0 : h[t * size + i]};
}

void put(Bounded& out, int64_t at, const Term& term) {
  out.value[at] += term.value;
  out.terms[at] += term.terms;
}

}  // namespace

Bounded gru_cell(const Values& a, const Values& c, const Values& h, int64_t size) {
  const auto rows = static_cast<int64_t>(a.size()) / (3 * size);
  Bounded out(rows * size);
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t i = 0; i < size; ++i) {
      const Cell cell = cell_of(a, c, h, t, i, size);
      put(out, t * size + i, cell.fresh + cell.update * (cell.before - cell.fresh));
    }
  }
  return out;
}

GruGradient gru_cell_backward(const Values& d_out, const Values& a, const Values& c,
                              const Values& h, int64_t size) {
  const auto rows = static_cast<int64_t>(a.size()) / (3 * size);
  GruGradient out{Bounded(rows * 3 * size), Bounded(static_cast<int64_t>(c.size())),
                  Bounded(static_cast<int64_t>(h.size()))};
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t i = 0; i < size; ++i) {
      const Cell cell = cell_of(a, c, h, t, i, size);
      const Term g = d_out[t * size + i], one = 1;
      const Term d_update = g * (cell.before - cell.fresh) * cell.update * (one - cell.update);
      const Term d_fresh = g * (one - cell.update) * (one - cell.fresh * cell.fresh);
      const Term d_reset = d_fresh * cell.turned * cell.reset * (one - cell.reset);
      const int64_t row = t * 3 * size + i, own = h.empty() ? i : row;
      put(out.d_a, row, d_reset);
      put(out.d_a, row + size, d_update);
      put(out.d_a, row + 2 * size, d_fresh);
      put(out.d_c, own, d_reset);
      put(out.d_c, own + size, d_update);
      put(out.d_c, own + 2 * size, d_fresh * cell.reset);
      if (!h.empty()) put(out.d_h, t * size + i, g * cell.update);
    }
  }
  return out;
}

}  // namespace pointwork::kernels::reference
