#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

struct Saving {
  double measured = kUnknown, ideal = kUnknown, realised = kUnknown;
  double share() const { return std::isfinite(realised) ? realised : measured / ideal; }
  bool known() const { return measured > 0 && ideal > 0; }
};

void add_bar(std::string& out, const char* name, double share, const std::string& text,
             const char* kind) {
  append(out, "<div class=barname>", name, "</div><div class=track><div class='bar ", kind,
         "' style=width:", std::round(1000 * std::clamp(share, 0.0, 1.0)) / 10,
         "%></div></div><div class=barvalue>", text, "</div>\n");
}

std::string bars(const Saving& s) {
  const double realised = s.share();
  const double longest = std::max({s.measured, s.ideal, 1.0});
  std::string out = "<div class=bars>\n";
  add_bar(out, "ideal saving", s.ideal / longest, fixed(s.ideal, 2) + " ×", "ideal");
  add_bar(out, "measured saving", s.measured / longest, fixed(s.measured, 2) + " ×", "measured");
  add_bar(out, "realised", realised / std::max(realised, 1.0), percent(realised, 1), "realised");
  return out + "</div>\n";
}

std::string machine_text(const std::string& device, double threads) {
  if (device.empty()) return "";
  std::string text = ", on " + escape_html(device);
  if (device == "cpu" && threads > 0) {
    append(text, " with ", integer_text(threads), threads > 1 ? " threads" : " thread");
  }
  return text;
}

std::string benchmark(const Runs& runs, size_t index, const BenchResult& b) {
  std::string out;
  append(
      out, "<h3>", run_name(runs, index), ", benchmark</h3>\n<p class=note>",
      b.name.empty() ? "" : "<code>" + escape_html(b.name) + "</code>: ", elapsed_text(b.seconds));
  if (std::isfinite(b.against_seconds)) {
    append(out, " against ", elapsed_text(b.against_seconds), " of <code>", escape_html(b.against),
           "</code>");
  }
  if (std::isfinite(b.tokens_per_second)) {
    append(out, " (", with_prefix(b.tokens_per_second), " tokens/s)");
  }
  append(out, machine_text(b.device, b.threads), ", taking turns.</p>\n");
  const Saving saving{b.measured_saving, b.ideal_saving, b.realised_saving};
  if (saving.known()) return out + bars(saving);
  return out + "<p class=note>It was measured against no other configuration.</p>\n";
}

double median_rate(const RunFolder& run) {
  std::vector<double> rates;
  for (const StepMetrics& m : run.metrics) {
    if (std::isfinite(m.tokens_per_second)) rates.push_back(m.tokens_per_second);
  }
  if (rates.empty()) return kUnknown;
  const auto middle = rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2);
  std::nth_element(rates.begin(), middle, rates.end());
  return *middle;
}

bool same_machine(const RunFacts& a, const RunFacts& b) {
  return a.device == b.device && a.threads == b.threads && a.precision == b.precision;
}

std::string from_training(const Runs& runs, size_t index) {
  const RunFolder &run = runs[index], &reference = runs[reference_run(runs)];
  if (&run == &reference || reference.routed() || !run.routed()) return "";
  if (!run.facts || !reference.facts || !same_machine(*run.facts, *reference.facts)) return "";
  const double own = median_rate(run), other = median_rate(reference);
  const Saving saving{own / other, reference.facts->flops.train / run.facts->flops.train};
  if (!saving.known()) return "";
  return concat("<h3>", run_name(runs, index),
                ", as it trained</h3>\n<p class=note>Median steps: ", with_prefix(own),
                " tokens/s against ", with_prefix(other), " of ",
                run_name(runs, reference_run(runs)),
                machine_text(run.facts->device, run.facts->threads),
                ". The runs trained at different moments, so other work on the machine counts "
                "too.</p>\n",
                bars(saving));
}

}  // namespace

std::string speed_text(const Runs& runs) {
  std::string out;
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const BenchResult& b : runs[i].bench) {
      const Saving saving{b.measured_saving, b.ideal_saving, b.realised_saving};
      if (!saving.known()) continue;
      append(out, out.empty() ? "" : " ", "In the benchmark ", run_name(runs, i), " is <b>",
             fixed(saving.measured, 2), " ×</b> as fast as <code>", escape_html(b.against),
             "</code>: ", percent(saving.share(), 1), " of the saving that its FLOPs allow.");
    }
  }
  return out;
}

std::string speed_section(const Runs& runs) {
  std::string body;
  bool any_bench = false;
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const BenchResult& b : runs[i].bench) {
      append(body, "<div>", benchmark(runs, i, b), "</div>\n");
      any_bench = true;
    }
    const std::string trained = from_training(runs, i);
    if (!trained.empty()) append(body, "<div>", trained, "</div>\n");
  }
  std::string out = "<section id=speed>\n<h2>Speed against the ideal</h2>\n";
  if (!body.empty()) {
    append(out,
           "<p class=note>Ideal is what the FLOPs alone would save; measured is dense time ÷ own "
           "time; realised is measured ÷ ideal.</p>\n<div class=columns>\n",
           body, "</div>\n");
  }
  if (!any_bench) {
    out +=
        "<p class=note>No run has a bench.json; <code>pointwork bench step CONFIG --against CONFIG "
        "--json &gt; RUN/bench.json</code> writes one.</p>\n";
  }
  return out + "</section>\n";
}

}  // namespace pointwork
