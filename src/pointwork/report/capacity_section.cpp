#include <algorithm>
#include <cmath>

#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

constexpr double kWidth = 620, kHeight = 290;
constexpr double kLeft = 36, kRight = 600, kTop = 12, kBottom = 242;
constexpr double kMoves = 0.02;  // shares that differ by less are one capacity

// An evaluation: the share of tokens that a routed block takes, and the losses of either routing.
struct Point {
  double step = 0, capacity = 0, loss = 0, loss_training = 0;
};

std::vector<Point> points_of(const RunFolder& run) {
  std::vector<Point> points;
  for (const StepMetrics& m : run.metrics) {
    double sum = 0, count = 0;
    for (const LayerMetrics& layer : m.layers) {
      if (layer.experts || !std::isfinite(layer.capacity)) continue;
      sum += layer.capacity;
      ++count;
    }
    if (count > 0 && std::isfinite(m.validation_loss))
      points.push_back({m.step, sum / count, m.validation_loss, m.validation_loss_training});
  }
  return points;
}

bool moves(const std::vector<Point>& points) {
  double low = INFINITY, high = -INFINITY;
  for (const Point& p : points) {
    low = std::min(low, p.capacity);
    high = std::max(high, p.capacity);
  }
  return high - low > kMoves;
}

struct Frame {
  double low = INFINITY, high = -INFINITY;
  void add(double loss) {
    if (!std::isfinite(loss)) return;
    low = std::min(low, loss);
    high = std::max(high, loss);
  }
  double x(double capacity) const { return kLeft + (kRight - kLeft) * (1 - capacity); }
  double y(double loss) const {
    return kBottom - (kBottom - kTop) * (loss - low) / std::max(high - low, 1e-9);
  }
};

void add_axes(std::string& out, const Frame& frame) {
  const auto losses = axis_ticks(Quantity::plain, frame.low, frame.high, 5);
  const double step = losses.size() > 1 ? losses[1] - losses[0] : 1;
  for (const double loss : losses)
    append(out, "<path class=grid d='M", kLeft, " ", frame.y(loss), "H", kRight,
           "'/><text class=tick x='", kLeft - 7, "' y='", frame.y(loss),
           "' dy='.32em' text-anchor=end>", tick_text(Quantity::plain, loss, step), "</text>");
  for (const double share : {1.0, 0.75, 0.5, 0.25, 0.0})
    append(out, "<path class=axis d='M", frame.x(share), " ", kBottom, "v4'/><text class=tick x='",
           frame.x(share), "' y='", kBottom + 18, "' text-anchor=middle>", percent(share, 0),
           "</text>");
  append(out, "<path class=axis d='M", kLeft, " ", kBottom, "H", kRight, "'/><text class=title x='",
         (kLeft + kRight) / 2, "' y='", kHeight - 8,
         "' text-anchor=middle>tokens that a routed block takes</text>\n");
}

void add_run(std::string& out, const Frame& frame, const std::vector<Point>& points,
             size_t colour) {
  append(out, "<g class='run c", colour % 6, "'>");
  std::string path;
  for (const Point& p : points)
    append(path, path.empty() ? "M" : "L", frame.x(p.capacity), " ", frame.y(p.loss));
  append(out, "<path class=line d='", path, "'/>");
  for (const Point& p : points) {
    if (std::isfinite(p.loss_training))
      append(out, "<circle class=ring cx='", frame.x(p.capacity), "' cy='",
             frame.y(p.loss_training), "' r='4.2'/>");
    append(out, "<circle class=dot cx='", frame.x(p.capacity), "' cy='", frame.y(p.loss),
           "' r='2.4'><title>step ", integer_text(p.step), ": ", percent(p.capacity, 1), ", loss ",
           fixed(p.loss, 4), "</title></circle>");
  }
  out += "</g>\n";
}

}  // namespace

std::string capacity_section(const Runs& runs) {
  Frame frame;
  std::vector<std::vector<Point>> all;
  std::string names;
  for (size_t i = 0; i < runs.size(); ++i) {
    all.push_back(points_of(runs[i]));
    if (!moves(all.back())) all.back().clear();
    for (const Point& p : all.back()) {
      frame.add(p.loss);
      frame.add(p.loss_training);
    }
    if (!all.back().empty()) append(names, names.empty() ? "" : ", ", run_name(runs, i));
  }
  if (names.empty()) return "";
  const double margin = std::max(0.04 * (frame.high - frame.low), 1e-3);
  frame.low -= margin;
  frame.high += margin;
  std::string out = "<section id=capacity>\n<h2>Loss against capacity</h2>\n";
  append(out, "<p class=note>", names,
         ": validation loss as the capacity moved; training goes on from point to point. Dots: "
         "inference routing; rings: training routing.</p>\n<svg class=chart viewBox='0 0 ",
         kWidth, " ", kHeight, "' role=img aria-label='Loss against capacity'>\n");
  add_axes(out, frame);
  for (size_t i = 0; i < all.size(); ++i)
    if (!all[i].empty()) add_run(out, frame, all[i], i);
  return out + "</svg>\n</section>\n";
}

}  // namespace pointwork
