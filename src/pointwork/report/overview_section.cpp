#include <cmath>
#include <functional>

#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

using Cell = std::function<std::string(const RunFolder&)>;

// A row that no run can fill is left out.
void add_row(std::string& out, const Runs& runs, const char* name, const Cell& cell) {
  std::string row;
  bool filled = false;
  for (const RunFolder& run : runs) {
    const std::string text = cell(run);
    filled = filled || !text.empty();
    append(row, "<td>", text.empty() ? "–" : text, "</td>");
  }
  if (filled) append(out, "<tr><th scope=row>", name, "</th>", row, "</tr>\n");
}

std::string known(double value, const std::function<std::string(double)>& text) {
  return std::isfinite(value) ? text(value) : "";
}

// What a fact of run.json says; "" where it is unknown.
Cell fact(double RunFacts::*member, std::string (*text)(double)) {
  return [=](const RunFolder& run) {
    return run.facts ? known((*run.facts).*member, text) : std::string();
  };
}

Cell cost(double PhaseCosts::*phase) {
  return [=](const RunFolder& run) -> std::string {
    if (!run.facts) return "";
    const double own = run.facts->flops.*phase, dense = run.facts->dense_flops.*phase;
    std::string text = known(own, flop_text);
    if (run.routed() && dense > 0 && std::isfinite(own)) {
      append(text, " <small>", percent(own / dense, 0), " of the dense twin’s ", flop_text(dense),
             "</small>");
    }
    return text;
  };
}

Cell last(double StepMetrics::*member, const std::function<std::string(double)>& text) {
  return [=](const RunFolder& run) {
    return run.metrics.empty() ? std::string() : known(run.metrics.back().*member, text);
  };
}

Cell evaluated(double StepMetrics::*member, const std::function<std::string(double)>& text) {
  return [=](const RunFolder& run) {
    const StepMetrics* m = run.last_evaluation();
    return m ? known(m->*member, text) : std::string();
  };
}

std::string steps_text(const RunFolder& run) {
  if (run.metrics.empty()) return "none yet";
  const double done = run.metrics.back().step;
  std::string text = integer_text(done);
  if (run.facts && run.facts->total_steps > done) {
    append(text, " <small>of ", integer_text(run.facts->total_steps), "</small>");
  }
  double skipped = 0;
  for (const StepMetrics& m : run.metrics) skipped += m.skipped ? 1 : 0;
  if (skipped > 0)
    append(text, " <small>", integer_text(skipped),
           skipped > 1 ? " updates skipped</small>" : " update skipped</small>");
  return text;
}

std::string machine_text(const RunFolder& run) {
  if (!run.facts) return "";
  std::string text = escape_html(run.facts->device);
  if (run.facts->threads > 0 && run.facts->device == "cpu") {
    append(text, ", ", integer_text(run.facts->threads),
           run.facts->threads > 1 ? " threads" : " thread");
  }
  if (!run.facts->precision.empty()) append(text, ", ", escape_html(run.facts->precision));
  return text;
}

std::string dataset_text(const RunFolder& run) {
  if (!run.facts || run.facts->dataset.empty()) return "";
  std::string text = escape_html(run.facts->dataset);
  const auto add = [&](double value, std::string (*print)(double), const char* what) {
    if (std::isfinite(value)) append(text, "<small>", print(value), " ", what, "</small>");
  };
  add(run.facts->dataset_tokens, with_prefix, "tokens");
  add(run.facts->documents, integer_text, "documents");
  add(run.facts->vocab_size, integer_text, "words in the vocabulary");
  return text;
}

std::string tokens_text(const RunFolder& run) {
  if (run.metrics.empty()) return "";
  std::string text = known(run.metrics.back().tokens, with_prefix);
  if (!text.empty() && run.facts && run.facts->dataset_tokens > 0) {
    append(text, " <small>", fixed(run.metrics.back().tokens / run.facts->dataset_tokens, 2),
           " epochs</small>");
  }
  return text;
}

const auto three = [](double loss) { return fixed(loss, 3); };
const auto share = [](double value) { return percent(value, 1); };

}  // namespace

std::string overview_section(const Runs& runs) {
  std::string out = "<header>\n<p class=kicker>Pointwork</p>\n<h1>";
  for (size_t i = 0; i < runs.size(); ++i) {
    if (i > 0) out += i + 1 == runs.size() ? " and " : ", ";
    out += run_name(runs, i);
  }
  out += "</h1>\n";
  const std::string comparison = equal_budget_text(runs);
  if (!comparison.empty()) append(out, "<p class=lead>", comparison, "</p>\n");
  const std::string speed = runs.size() <= 2 ? speed_text(runs) : "";
  if (!speed.empty()) append(out, "<p class=lead>", speed, "</p>\n");
  out += "</header>\n<section id=runs>\n<h2>Runs</h2>\n<div class=wide><table class=facts>\n";
  out += "<thead><tr><td></td>";
  for (size_t i = 0; i < runs.size(); ++i)
    append(out, "<th scope=col>", run_name(runs, i), "</th>");
  out += "</tr></thead>\n<tbody>\n";
  add_row(out, runs, "parameters", fact(&RunFacts::parameters, with_prefix));
  add_row(out, runs, "active a token", fact(&RunFacts::active_parameters, with_prefix));
  add_row(out, runs, "FLOPs a token, training", cost(&PhaseCosts::train));
  add_row(out, runs, "FLOPs a token, decoding", cost(&PhaseCosts::decode));
  add_row(out, runs, "steps", steps_text);
  add_row(out, runs, "tokens trained on", tokens_text);
  add_row(out, runs, "training FLOPs", last(&StepMetrics::flops, flop_text));
  add_row(out, runs, "training time", last(&StepMetrics::seconds, elapsed_text));
  add_row(out, runs, "peak memory", last(&StepMetrics::peak_memory_bytes, byte_text));
  add_row(out, runs, "validation loss", evaluated(&StepMetrics::validation_loss, three));
  add_row(out, runs, "bits a byte", evaluated(&StepMetrics::bits_per_byte, three));
  add_row(out, runs, "routed blocks taken", [](const RunFolder& run) {
    return run.routed() ? evaluated(&StepMetrics::routed_share, share)(run) : std::string();
  });
  add_row(out, runs, "trained on", machine_text);
  add_row(out, runs, "data", dataset_text);
  out += "</tbody>\n</table></div>\n";
  for (const RunFolder& run : runs) {
    if (!run.facts) {
      append(out, "<p class=note>", escape_html(run.name),
             " has no run.json, so its size and cost are not known.</p>\n");
    }
  }
  return out + "</section>\n";
}

}  // namespace pointwork
