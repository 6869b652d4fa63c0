#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/report/html.h"
#include "pointwork/report/loss_chart.h"
#include "pointwork/report/sections.h"

namespace pointwork {
namespace {

constexpr size_t kMostMarks = 100;   // validations drawn a run
constexpr size_t kMostPoints = 300;  // a curve: more than the frame has pixels to show

// Evenly, the last always.
std::vector<CurvePoint> thinned(const std::vector<CurvePoint>& points) {
  const size_t count = points.size(), kept = std::min(count, kMostMarks);
  std::vector<CurvePoint> out;
  for (size_t k = 1; k <= kept; ++k) out.push_back(points[k * count / kept - 1]);
  return out;
}

std::string key_text(const std::vector<ChartRun>& runs) {
  int window = 1;
  bool validated = false, routed = false;
  for (const ChartRun& run : runs) {
    window = std::max(window, run.curve.window);
    validated = validated || !run.curve.validation.empty();
    routed = routed || !run.curve.validation_training.empty();
  }
  std::string out = "<p class=key>";
  append(out, "<span><svg class=swatch viewBox='0 0 22 12'><path class=line d='M1 6H21'/></svg>",
         "training", window > 1 ? concat(", mean over ", window, " steps") : "", "</span>");
  if (validated) {
    append(out,
           "<span><svg class=swatch viewBox='0 0 12 12'><circle class=dot cx='6' cy='6' "
           "r='2.4'/></svg>validation",
           routed ? ", inference routing" : "", "</span>");
  }
  if (routed) {
    out +=
        "<span><svg class=swatch viewBox='0 0 12 12'><circle class=ring cx='6' cy='6' "
        "r='4.2'/></svg>validation, training routing</span>";
  }
  return out + "</p>\n";
}

}  // namespace

std::string loss_section(const Runs& runs) {
  std::string out = "<section id=loss>\n<h2>Loss</h2>\n";
  std::vector<ChartRun> charts;
  std::string missing;
  for (const RunFolder& run : runs) {
    charts.push_back({run.name, loss_curve(run, kMostPoints)});
    LossCurve& curve = charts.back().curve;
    curve.validation = thinned(curve.validation);
    curve.validation_training = thinned(curve.validation_training);
    if (curve.training.empty() && curve.validation.empty()) {
      append(missing, "<p class=note>", escape_html(run.name),
             " has no losses to draw: its metrics.jsonl is missing or empty.</p>\n");
    }
  }
  const LossRange range = loss_range(charts);
  std::string drawn;
  for (const Axis axis : kAxes) drawn += loss_chart(charts, axis, range);
  if (!drawn.empty()) {
    append(out, "<p class=note>Nats a token. ",
           range.clipped ? "The first steps lie above the frame." : "", "</p>\n", key_text(charts),
           "<div class=charts>\n", drawn, "</div>\n<script type='application/json' id=curves>",
           script_json(chart_data(charts)), "</script>\n");
  }
  return out + missing + "</section>\n";
}

}  // namespace pointwork
