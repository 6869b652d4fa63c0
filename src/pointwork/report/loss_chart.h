#pragma once
// One SVG chart: the losses of all runs against one axis.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pointwork/report/curve.h"

namespace pointwork {

struct ChartRun {
  std::string name;
  LossCurve curve;
};

// The loss range shown: all validation losses, and training losses but for the steep beginning.
struct LossRange {
  double low = 0, high = 1;
  bool clipped = false;  // something lies above
};
LossRange loss_range(const std::vector<ChartRun>& runs);

// "" where no run has a coordinate on this axis.
std::string loss_chart(const std::vector<ChartRun>& runs, Axis axis, const LossRange& range);

// What hovering needs: every curve's points.
nlohmann::ordered_json chart_data(const std::vector<ChartRun>& runs);

}  // namespace pointwork
