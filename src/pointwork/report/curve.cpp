#include "pointwork/report/curve.h"

#include <algorithm>
#include <cmath>

namespace pointwork {
namespace {

CurvePoint point_of(const StepMetrics& m, double loss) {
  return {{m.step, m.flops, m.seconds}, loss};
}

double between(double x0, double y0, double x1, double y1, double x) {
  return x1 > x0 ? y0 + (y1 - y0) * (x - x0) / (x1 - x0) : y0;
}

}  // namespace

double position(const StepMetrics& metrics, Axis axis) {
  return axis == Axis::steps ? metrics.step : axis == Axis::flops ? metrics.flops : metrics.seconds;
}

LossCurve loss_curve(const RunFolder& run, size_t most_points) {
  LossCurve curve;
  std::vector<const StepMetrics*> known;
  for (const StepMetrics& m : run.metrics) {
    if (std::isfinite(m.loss)) known.push_back(&m);
    if (!std::isfinite(m.validation_loss)) continue;
    curve.validation.push_back(point_of(m, m.validation_loss));
    if (!m.layers.empty() && std::isfinite(m.validation_loss_training)) {
      curve.validation_training.push_back(point_of(m, m.validation_loss_training));
    }
  }
  const size_t count = known.size(), half = count / 50;
  curve.window = static_cast<int>(2 * half + 1);
  std::vector<double> sums(count + 1, 0);
  for (size_t i = 0; i < count; ++i) sums[i + 1] = sums[i] + known[i]->loss;
  const size_t drawn = std::min(most_points, count);
  for (size_t k = 0; k < drawn; ++k) {
    const size_t i = drawn > 1 ? k * (count - 1) / (drawn - 1) : 0;
    // At the steep beginning it shrinks, to stay centred; at the flat end it is cut off.
    const size_t first = i - std::min(half, i),
                 end = std::min(i + std::min(half, i), count - 1) + 1;
    const double mean = (sums[end] - sums[first]) / static_cast<double>(end - first);
    curve.training.push_back(point_of(*known[i], mean));
  }
  return curve;
}

double loss_at(const std::vector<CurvePoint>& curve, Axis axis, double x) {
  const auto a = static_cast<size_t>(axis);
  for (size_t i = 0; i < curve.size(); ++i) {
    if (curve[i].x[a] == x) return curve[i].loss;
    if (i > 0 && curve[i - 1].x[a] < x && x < curve[i].x[a]) {
      return between(curve[i - 1].x[a], curve[i - 1].loss, curve[i].x[a], curve[i].loss, x);
    }
  }
  return kUnknown;
}

double coordinate_at(const std::vector<StepMetrics>& metrics, Axis known, double x, Axis wanted) {
  for (size_t i = 0; i < metrics.size(); ++i) {
    if (position(metrics[i], known) == x) return position(metrics[i], wanted);
    if (i > 0 && position(metrics[i - 1], known) < x && x < position(metrics[i], known)) {
      return between(position(metrics[i - 1], known), position(metrics[i - 1], wanted),
                     position(metrics[i], known), position(metrics[i], wanted), x);
    }
  }
  return kUnknown;
}

}  // namespace pointwork
