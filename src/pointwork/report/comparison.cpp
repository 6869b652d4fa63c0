#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/report/curve.h"
#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

// Nats a token mean the same only for the same tokens.
bool comparable(const RunFolder& a, const RunFolder& b) {
  if (!a.facts || !b.facts) return true;
  return a.facts->dataset == b.facts->dataset && a.facts->vocab_size == b.facts->vocab_size;
}

// The largest budget at which every run has a validation loss, by its last evaluation.
double common_budget(const std::vector<LossCurve>& curves, Axis axis) {
  double budget = INFINITY;
  for (const LossCurve& curve : curves) {
    if (curve.validation.empty()) return kUnknown;
    const double end = curve.validation.back().x[static_cast<size_t>(axis)];
    if (!std::isfinite(end)) return kUnknown;
    budget = std::min(budget, end);
  }
  return budget;
}

std::string relative_text(double loss, double reference) {
  const double change = (loss - reference) / reference;
  if (std::fabs(change) < 0.0005) return "the same";
  return percent(std::fabs(change), 1) + (change < 0 ? " lower" : " higher");
}

// "after 1.58 × the steps and 1.02 × the time".
std::string costs_text(const RunFolder& run, const RunFolder& reference, Axis axis, double budget) {
  std::string text;
  const auto add = [&](Axis wanted, const char* what) {
    const double own = coordinate_at(run.metrics, axis, budget, wanted);
    const double other = coordinate_at(reference.metrics, axis, budget, wanted);
    if (!(own > 0) || !(other > 0)) return;
    append(text, text.empty() ? ", after " : " and ", fixed(own / other, 2), " × the ", what);
  };
  add(Axis::steps, "steps");
  add(axis == Axis::flops ? Axis::seconds : Axis::flops, axis == Axis::flops ? "time" : "FLOPs");
  return text;
}

std::string at_budget(const Runs& runs, const std::vector<LossCurve>& curves, Axis axis) {
  const double budget = common_budget(curves, axis);
  if (!(budget > 0)) return "";
  const size_t base = reference_run(runs);
  const double reference = loss_at(curves[base].validation, axis, budget);
  if (!std::isfinite(reference)) return "";
  std::string text;
  for (size_t i = 0; i < runs.size(); ++i) {
    const double loss = loss_at(curves[i].validation, axis, budget);
    if (i == base || !std::isfinite(loss)) continue;
    const std::string against =
        text.empty() ? concat(" against <b>", fixed(reference, 3), "</b> of ", run_name(runs, base))
                     : "";
    append(text, text.empty() ? "" : "; ", run_name(runs, i), " reaches validation loss <b>",
           fixed(loss, 3), "</b>", against, ": ", relative_text(loss, reference),
           costs_text(runs[i], runs[base], axis, budget));
  }
  if (text.empty()) return "";
  const std::string size = axis == Axis::flops ? flop_text(budget) : elapsed_text(budget);
  return concat(axis == Axis::flops ? "At equal training FLOPs (" : "At equal training time (",
                size, ") ", text, ".");
}

}  // namespace

size_t reference_run(const Runs& runs) {
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].routed()) return i;
  }
  return 0;
}

std::string equal_budget_text(const Runs& runs) {
  if (runs.size() < 2) return "";
  std::vector<LossCurve> curves;
  for (const RunFolder& run : runs) {
    if (!comparable(run, runs[0])) {
      return "The runs saw different data or vocabularies, so their losses a token are not "
             "compared.";
    }
    curves.push_back(loss_curve(run, 1));
  }
  const std::string flops = at_budget(runs, curves, Axis::flops);
  // With more runs a second such sentence is more than a reader takes in.
  const std::string seconds = runs.size() == 2 ? at_budget(runs, curves, Axis::seconds) : "";
  return flops + (flops.empty() || seconds.empty() ? "" : "<br>") + seconds;
}

}  // namespace pointwork
