#include <cmath>

#include "pointwork/kernels/reference.h"

namespace pointwork::kernels::reference {
namespace {

constexpr double kPi = 3.14159265358979323846;

int64_t size(const Values& x) { return static_cast<int64_t>(x.size()); }

// An exponential of floats that would be below their smallest normal number may be 0. As Σ|terms|
// of what it is multiplied by, so that eps · terms is that number.
constexpr double kUnderflow = 0x1p-126 / 0x1p-23;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Statistics of one row, and how large the magnitudes were that made them.
struct Row {
  double mean, rstd, mean_terms, strength;
};

Row statistics(const double* x, int64_t width, double eps, bool centred) {
  Row row{};
  for (int64_t i = 0; i < width && centred; ++i) {
    row.mean += x[i] / static_cast<double>(width);
    row.mean_terms += std::abs(x[i]) / static_cast<double>(width);
  }
  double variance = 0, spread = 0;
  for (int64_t i = 0; i < width; ++i) {
    variance += (x[i] - row.mean) * (x[i] - row.mean) / static_cast<double>(width);
    // The error of each difference is that of x and of the mean.
    spread += 2 * std::abs(x[i] - row.mean) * (std::abs(x[i]) + row.mean_terms) /
              static_cast<double>(width);
  }
  row.rstd = 1 / std::sqrt(variance + eps);
  row.strength = 1 + (spread + variance + eps) * row.rstd * row.rstd;
  return row;
}

}  // namespace

Norm norm(const Values& x, const Values& weight, const Values& bias, double eps, bool centred) {
  const int64_t width = size(weight), rows = size(x) / width;
  Norm out{Bounded(rows * width), Bounded(rows), Bounded(rows)};
  for (int64_t t = 0; t < rows; ++t) {
    const Row row = statistics(x.data() + t * width, width, eps, centred);
    out.mean.value[t] = row.mean;
    out.mean.terms[t] = row.mean_terms;
    out.rstd.add(t, row.rstd, row.strength);
    for (int64_t i = 0; i < width; ++i) {
      const int64_t at = t * width + i;
      const double slope = row.rstd * weight[i];
      out.y.value[at] = (x[at] - row.mean) * slope;
      out.y.terms[at] =
          (std::abs(x[at]) + row.mean_terms + std::abs(x[at] - row.mean) * row.strength) *
          std::abs(slope);
      if (!bias.empty()) out.y.add(at, bias[i]);
    }
  }
  return out;
}

NormGradient norm_backward(const Values& d_y, const Values& x, const Values& weight,
                           const Values& d_residual, double eps, bool centred) {
  const int64_t width = size(weight), rows = size(x) / width;
  NormGradient out{Bounded(rows * width), Bounded(width), Bounded(width)};
  for (int64_t t = 0; t < rows; ++t) {
    const int64_t first = t * width;
    const Row row = statistics(x.data() + first, width, eps, centred);
    const auto hat = [&](int64_t i) { return (x[first + i] - row.mean) * row.rstd; };
    const auto hat_terms = [&](int64_t i) {
      return (std::abs(x[first + i]) + row.mean_terms) * row.rstd + std::abs(hat(i)) * row.strength;
    };
    double pull = 0, pull_terms = 0, turn = 0, turn_terms = 0;
    for (int64_t i = 0; i < width; ++i) {
      const double g = d_y[first + i] * weight[i] / static_cast<double>(width);
      if (centred) pull += g, pull_terms += std::abs(g);
      turn += g * hat(i);
      turn_terms += std::abs(g) * hat_terms(i);
    }
    for (int64_t i = 0; i < width; ++i) {
      const int64_t at = first + i;
      out.d_x.value[at] = row.rstd * (d_y[at] * weight[i] - pull - hat(i) * turn);
      out.d_x.terms[at] = row.rstd * row.strength *
                          (std::abs(d_y[at] * weight[i]) + pull_terms +
                           std::abs(hat(i)) * turn_terms + hat_terms(i) * std::abs(turn));
      if (!d_residual.empty()) out.d_x.add(at, d_residual[at]);
      out.d_weight.value[i] += d_y[at] * hat(i);
      out.d_weight.terms[i] += std::abs(d_y[at]) * hat_terms(i);
      out.d_bias.add(i, d_y[at]);
    }
  }
  return out;
}

Bounded activate(Nonlinearity kind, const Values& x) {
  Bounded out(size(x));
  for (int64_t i = 0; i < size(x); ++i) {
    switch (kind) {
      case Nonlinearity::gelu:
        out.add(i, x[i] * 0.5 * std::erfc(-x[i] / std::sqrt(2.0)));
        out.terms[i] = std::abs(out.value[i]) * (2 + x[i] * x[i]) + std::abs(x[i]) * kUnderflow;
        break;
      case Nonlinearity::gelu_tanh: {
        const double u = std::sqrt(2 / kPi) * (x[i] + 0.044715 * x[i] * x[i] * x[i]);
        out.add(i, x[i] * sigmoid(2 * u), 2 + std::abs(2 * u));
        out.terms[i] += std::abs(x[i]) * kUnderflow;
        break;
      }
      case Nonlinearity::relu:
        out.add(i, x[i] > 0 ? x[i] : 0);
        break;
    }
  }
  return out;
}

Bounded activate_backward(Nonlinearity kind, const Values& d_y, const Values& x) {
  Bounded out(size(x));
  for (int64_t i = 0; i < size(x); ++i) {
    switch (kind) {
      case Nonlinearity::gelu: {
        const double strength = 2 + x[i] * x[i];
        out.add(i, d_y[i] * 0.5 * std::erfc(-x[i] / std::sqrt(2.0)), strength);
        out.add(i, d_y[i] * x[i] * std::exp(-0.5 * x[i] * x[i]) / std::sqrt(2 * kPi), strength);
        out.terms[i] += std::abs(d_y[i]) * (1 + std::abs(x[i])) * kUnderflow;
        break;
      }
      case Nonlinearity::gelu_tanh: {
        const double u = std::sqrt(2 / kPi) * (x[i] + 0.044715 * x[i] * x[i] * x[i]),
                     s = sigmoid(2 * u);
        const double slope = 2 * std::sqrt(2 / kPi) * (1 + 3 * 0.044715 * x[i] * x[i]);
        // 1 − s is a difference: its error is that of 1.
        const double strength = 2 + std::abs(2 * u);
        out.add(i, d_y[i] * s, strength);
        out.add(i, d_y[i] * x[i] * s * (1 - s) * slope);
        out.terms[i] += std::abs(d_y[i] * x[i] * s * slope) * strength;
        out.terms[i] += std::abs(d_y[i]) * (1 + std::abs(x[i] * slope)) * kUnderflow;
        break;
      }
      case Nonlinearity::relu:
        out.add(i, x[i] > 0 ? d_y[i] : 0);
        break;
    }
  }
  return out;
}

Bounded swiglu(const Values& gate, const Values& up) {
  Bounded out(size(gate));
  for (int64_t i = 0; i < size(gate); ++i) {
    out.add(i, gate[i] * sigmoid(gate[i]) * up[i], 2 + std::abs(gate[i]));
    out.terms[i] += std::abs(gate[i] * up[i]) * kUnderflow;
  }
  return out;
}

SwigluGradient swiglu_backward(const Values& d_out, const Values& gate, const Values& up) {
  SwigluGradient out{Bounded(size(gate)), Bounded(size(gate))};
  for (int64_t i = 0; i < size(gate); ++i) {
    const double g = gate[i], s = sigmoid(g), strength = 2 + std::abs(g);
    out.d_up.add(i, d_out[i] * g * s, strength);
    out.d_up.terms[i] += std::abs(d_out[i] * g) * kUnderflow;
    out.d_gate.add(i, d_out[i] * up[i] * s, strength);
    out.d_gate.add(i, d_out[i] * up[i] * s * g * (1 - s));
    out.d_gate.terms[i] += std::abs(d_out[i] * up[i] * s * g) * strength;
    out.d_gate.terms[i] += std::abs(d_out[i] * up[i]) * (1 + std::abs(g)) * kUnderflow;
  }
  return out;
}

Bounded project_few(const Values& x, const Values& weight, const Values& bias, int64_t in) {
  const int64_t rows = size(x) / in, columns = size(weight) / in;
  Bounded out(rows * columns);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < columns; ++o) {
      for (int64_t i = 0; i < in; ++i) out.add(r * columns + o, x[r * in + i] * weight[o * in + i]);
      if (!bias.empty()) out.add(r * columns + o, bias[o]);
    }
  }
  return out;
}

}  // namespace pointwork::kernels::reference
