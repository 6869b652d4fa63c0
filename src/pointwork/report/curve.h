#pragma once
// Loss against steps, FLOPs and time: what the charts draw and what the comparison reads off.

#include <array>
#include <vector>

#include "pointwork/report/run_folder.h"

namespace pointwork {

enum class Axis { steps, flops, seconds };
inline constexpr std::array kAxes = {Axis::steps, Axis::flops, Axis::seconds};

double position(const StepMetrics& metrics, Axis axis);

struct CurvePoint {
  std::array<double, 3> x = {};  // by Axis
  double loss = 0;
};

struct LossCurve {
  std::vector<CurvePoint> training;             // a centred mean over `window` steps, thinned
  std::vector<CurvePoint> validation;           // inference routing
  std::vector<CurvePoint> validation_training;  // training routing; empty where nothing is routed
  int window = 1;
};

// Steps whose loss is not finite take no part.
LossCurve loss_curve(const RunFolder& run, size_t most_points);

// Linear between points, NaN outside them or where x is unknown.
double loss_at(const std::vector<CurvePoint>& curve, Axis axis, double x);

// Another coordinate of a run (its seconds, at a count of FLOPs, say), linear between steps.
double coordinate_at(const std::vector<StepMetrics>& metrics, Axis known, double x, Axis wanted);

}  // namespace pointwork
