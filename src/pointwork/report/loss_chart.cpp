#include "pointwork/report/loss_chart.h"

#include <algorithm>
#include <cmath>

#include "pointwork/report/html.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kWidth = 400, kHeight = 290;
constexpr double kLeft = 36, kRight = 328, kTop = 12, kBottom = 242;
constexpr size_t kSteepPart = 5;  // the first fifth of a run does not choose the range

Quantity quantity_of(Axis axis) {
  return axis == Axis::steps   ? Quantity::steps
         : axis == Axis::flops ? Quantity::flops
                               : Quantity::seconds;
}

const char* title_of(Axis axis) {
  return axis == Axis::steps   ? "training steps"
         : axis == Axis::flops ? "training FLOPs"
                               : "training time";
}

struct Frame {
  size_t axis = 0;
  double right = 1;  // x at the frame's right side; 0 is at its left
  LossRange range;

  double x(const CurvePoint& p) const { return kLeft + (kRight - kLeft) * p.x[axis] / right; }
  double y(double loss) const {
    return kBottom - (kBottom - kTop) * (loss - range.low) / (range.high - range.low);
  }
  bool knows(const CurvePoint& p) const { return std::isfinite(p.x[axis]); }
};

double furthest(const std::vector<ChartRun>& runs, size_t axis) {
  double right = 0;
  for (const ChartRun& run : runs) {
    for (const auto* points : {&run.curve.training, &run.curve.validation}) {
      for (const CurvePoint& p : *points) {
        if (std::isfinite(p.x[axis])) right = std::max(right, p.x[axis]);
      }
    }
  }
  return right;
}

void add_axes(std::string& out, const Frame& frame, Axis axis) {
  const auto losses = axis_ticks(Quantity::plain, frame.range.low, frame.range.high, 5);
  const double loss_step = losses.size() > 1 ? losses[1] - losses[0] : 1;
  for (const double loss : losses) {
    const double y = px(frame.y(loss));
    append(out, "<path class=grid d='M", kLeft, " ", y, "H", kRight, "'/><text class=tick x='",
           kLeft - 7, "' y='", y, "' dy='.32em' text-anchor=end>",
           tick_text(Quantity::plain, loss, loss_step), "</text>");
  }
  const auto ticks = axis_ticks(quantity_of(axis), 0, frame.right, 4);
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
  for (const double tick : ticks) {
    const double x = kLeft + (kRight - kLeft) * tick / frame.right;
    append(out, "<path class=axis d='M", px(x), " ", kBottom, "v4'/><text class=tick x='", px(x),
           "' y='", kBottom + 18, "' text-anchor=middle>", tick_text(quantity_of(axis), tick, step),
           "</text>");
  }
  append(out, "<path class=axis d='M", kLeft, " ", kBottom, "H", kRight, "'/><text class=title x='",
         px((kLeft + kRight) / 2), "' y='", kHeight - 8, "' text-anchor=middle>", title_of(axis),
         "</text>\n");
}

void add_line(std::string& out, const Frame& frame, const LossCurve& curve) {
  std::string path;
  for (const CurvePoint& p : curve.training) {
    if (frame.knows(p))
      append(path, path.empty() ? "M" : "L", px(frame.x(p)), " ", px(frame.y(p.loss)));
  }
  if (!path.empty()) append(out, "<path class=line d='", path, "'/>");
}

void add_points(std::string& out, const Frame& frame, const std::vector<CurvePoint>& points,
                const char* kind, double radius) {
  for (const CurvePoint& p : points) {
    if (!frame.knows(p)) continue;
    append(out, "<circle class=", kind, " cx='", px(frame.x(p)), "' cy='", px(frame.y(p.loss)),
           "' r='", radius, "'/>");
  }
}

struct Label {
  double x = 0, y = 0;
  size_t run = 0;
};

// Beside each curve's end, moved apart where they would touch.
void add_labels(std::string& out, const Frame& frame, const std::vector<ChartRun>& runs) {
  constexpr double kLine = 14;
  std::vector<Label> labels;
  double lowest = INFINITY;
  for (const ChartRun& run : runs) {
    if (!run.curve.training.empty()) lowest = std::min(lowest, run.curve.training.back().loss);
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    const LossCurve& curve = runs[i].curve;
    const auto& points = curve.training.empty() ? curve.validation : curve.training;
    if (points.empty() || !frame.knows(points.back())) continue;
    const CurvePoint& end = points.back();
    Label label{frame.x(end) + 7, frame.y(end.loss), i};
    // Where others go on beside it, the label steps off their lines.
    if (label.x < kRight - 50) label.y += end.loss > lowest ? -11 : 11;
    labels.push_back(label);
  }
  std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.y < b.y; });
  for (size_t i = 1; i < labels.size(); ++i) {
    if (std::fabs(labels[i].x - labels[i - 1].x) > 70) continue;
    const double gap = kLine - (labels[i].y - labels[i - 1].y);
    if (gap <= 0) continue;
    labels[i - 1].y -= gap / 2;
    labels[i].y += gap / 2;
    for (size_t j = i + 1; j < labels.size(); ++j)
      labels[j].y = std::max(labels[j].y, labels[j - 1].y);
  }
  for (const Label& label : labels) {
    append(out, "<text class='label c", label.run % 6, "' x='", px(label.x), "' y='",
           px(std::clamp(label.y, kTop + 5, kBottom - 4)), "' dy='.32em'>",
           escape_html(shortened(runs[label.run].name, 9)), "</text>");
  }
}

}  // namespace

LossRange loss_range(const std::vector<ChartRun>& runs) {
  double low = INFINITY, high = -INFINITY, top = -INFINITY;
  for (const ChartRun& run : runs) {
    const auto& training = run.curve.training;
    for (size_t i = 0; i < training.size(); ++i) {
      low = std::min(low, training[i].loss);
      top = std::max(top, training[i].loss);
      if (training.size() < 20 || i > training.size() / kSteepPart)
        high = std::max(high, training[i].loss);
    }
    // A validation before the first step would flatten all the rest.
    for (const auto* points : {&run.curve.validation, &run.curve.validation_training}) {
      for (size_t i = 0; i < points->size(); ++i) {
        const double loss = (*points)[i].loss;
        low = std::min(low, loss);
        top = std::max(top, loss);
        if (i > 0 || training.empty()) high = std::max(high, loss);
      }
    }
  }
  if (!std::isfinite(low)) return {};
  const double margin = std::max(0.04 * (high - low), 1e-3);
  return {low - margin, high + margin, top > high + margin};
}

std::string loss_chart(const std::vector<ChartRun>& runs, Axis axis, const LossRange& range) {
  const Frame frame{static_cast<size_t>(axis), furthest(runs, static_cast<size_t>(axis)), range};
  if (!(frame.right > 0)) return "";
  std::string out;
  append(out, "<svg class=chart viewBox='0 0 ", kWidth, " ", kHeight, "' data-axis='",
         static_cast<int>(axis), "' data-right='", frame.right, "' data-left-px='", kLeft,
         "' data-right-px='", kRight, "' role=img aria-label='Loss against ", title_of(axis),
         "'>\n<clipPath id=frame", static_cast<int>(axis), "><rect x='", kLeft, "' y='", kTop - 5,
         "' width='", kRight - kLeft + 6, "' height='", kBottom - kTop + 5, "'/></clipPath>\n");
  add_axes(out, frame, axis);
  append(out, "<g clip-path='url(#frame", static_cast<int>(axis), ")'>\n");
  for (size_t i = 0; i < runs.size(); ++i) {
    append(out, "<g class='run c", i % 6, "'>");
    add_line(out, frame, runs[i].curve);
    add_points(out, frame, runs[i].curve.validation_training, "ring", 4.2);
    add_points(out, frame, runs[i].curve.validation, "dot", 2.4);
    out += "</g>\n";
  }
  out += "</g>\n";
  add_labels(out, frame, runs);
  append(out, "<path class=cursor d='M0 ", kTop, "V", kBottom, "' visibility=hidden />",
         "<rect class=catch x='", kLeft, "' y='", kTop, "' width='", kRight - kLeft, "' height='",
         kBottom - kTop, "'/></svg>\n");
  return out;
}

Json chart_data(const std::vector<ChartRun>& runs) {
  const auto points = [](const std::vector<CurvePoint>& curve) {
    Json all = Json::array();
    for (const CurvePoint& p : curve) {
      Json point = Json::array();
      for (const double x : p.x) point.push_back(std::isfinite(x) ? Json(x) : Json(nullptr));
      point.push_back(std::round(p.loss * 1e4) / 1e4);
      all.push_back(point);
    }
    return all;
  };
  Json all = Json::array();
  for (const ChartRun& run : runs) {
    all.push_back({{"name", run.name},
                   {"training", points(run.curve.training)},
                   {"validation", points(run.curve.validation)},
                   {"validation_training", points(run.curve.validation_training)}});
  }
  return all;
}

}  // namespace pointwork
