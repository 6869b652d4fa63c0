#include <algorithm>
#include <cmath>

#include "pointwork/kernels/reference.h"

namespace pointwork::kernels::reference {
namespace {

// Softmax of a row at a temperature. `reach` is how strongly its logarithm passes on relative
// errors of the row: an exponential turns the absolute error of its argument into a relative one.
struct Softmax {
  Values probability;
  double most = 0, lse = 0, reach = 1;  // of the row divided by the temperature

  Softmax(const double* row, int64_t vocab, double temperature) {
    Values x(row, row + vocab);
    for (double& value : x) value /= temperature;
    most = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (const double value : x) sum += std::exp(value - most);
    lse = most + std::log(sum);
    for (const double value : x) {
      probability.push_back(std::exp(value - lse));
      reach += probability.back() * (std::abs(value) + std::abs(most));
    }
  }
  double strength(double value, double temperature) const {
    return 1 + std::abs(value / temperature) + std::abs(most) + reach;
  }
};

}  // namespace

TaughtCrossEntropy taught_cross_entropy_rows(const Values& logits, const Values& teacher,
                                             int64_t vocab, const Rows& target,
                                             const cpu::TaughtWeights& w) {
  const auto rows = static_cast<int64_t>(target.size());
  TaughtCrossEntropy out{Bounded(rows * vocab), Bounded(rows), Bounded(rows), Bounded(rows)};
  const double tau = w.temperature;
  for (int64_t t = 0; t < rows; ++t) {
    if (target[t] < 0) continue;
    const double *s = logits.data() + t * vocab, *q = teacher.data() + t * vocab;
    const Softmax plain(s, vocab, 1), warm(s, vocab, tau), taught(q, vocab, tau);
    out.lse.add(t, plain.lse);
    out.lse.terms[t] = std::abs(plain.most) + std::abs(plain.lse - plain.most) + plain.reach;
    out.loss.add(t, plain.lse - s[target[t]]);
    out.loss.terms[t] = out.lse.terms[t] + std::abs(s[target[t]]);
    out.soft.terms[t] = std::abs(warm.lse - warm.most) + warm.reach;
    for (int64_t i = 0; i < vocab; ++i) {
      const double below = warm.lse - s[i] / tau;
      const double size = std::abs(s[i] / tau) + std::abs(warm.most);
      out.soft.value[t] += taught.probability[i] * below;
      out.soft.terms[t] += taught.probability[i] * size * taught.strength(q[i], tau);

      const int64_t at = t * vocab + i;
      const double p = w.scale * plain.probability[i], strength = plain.strength(s[i], 1);
      out.grad.add(at, w.hard * p, strength);
      out.grad.add(at, 2 * w.z * plain.lse * p, strength);
      const double soft = w.scale * w.soft * tau;
      out.grad.add(at, soft * warm.probability[i], warm.strength(s[i], tau));
      out.grad.add(at, -soft * taught.probability[i], taught.strength(q[i], tau));
      if (i == target[t]) out.grad.add(at, -w.scale * w.hard);
    }
  }
  return out;
}

}  // namespace pointwork::kernels::reference
