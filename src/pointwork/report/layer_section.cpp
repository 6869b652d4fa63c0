#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

constexpr double kShareTolerance = 0.02, kLeastAgreement = 0.97;

bool share_is_off(const LayerMetrics& layer) {
  return std::fabs(layer.routed_share - layer.capacity) >= kShareTolerance;
}

bool agreement_is_off(const LayerMetrics& layer) { return layer.agreement < kLeastAgreement; }

std::string remark(const LayerMetrics& layer) {
  std::string text;
  if (share_is_off(layer)) {
    const double points = 100 * (layer.routed_share - layer.capacity);
    append(text, "share ", fixed(std::fabs(points), 1), " points ", points > 0 ? "above" : "below",
           " capacity");
  }
  if (agreement_is_off(layer)) {
    append(text, text.empty() ? "" : "; ", "accuracy below ", percent(kLeastAgreement, 0));
  }
  return text;
}

void add_cell(std::string& out, const std::string& text, bool off = false) {
  append(out, off ? "<td class=off>▲ " : "<td>", text, "</td>");
}

void add_layer(std::string& out, const LayerMetrics& layer) {
  append(out, "<tr><th scope=row>", escape_html(layer.name), "</th>");
  add_cell(out, percent(layer.capacity, 1));
  add_cell(out, percent(layer.routed_share, 1), share_is_off(layer));
  add_cell(out, fixed(layer.router_mean, 3));
  add_cell(out, fixed(layer.router_std, 3));
  add_cell(out, percent(layer.agreement, 1), agreement_is_off(layer));
  add_cell(out, percent(layer.precision, 1));
  add_cell(out, percent(layer.recall, 1));
  append(out, "<td class=remark>", remark(layer), "</td></tr>\n");
}

// Those where a decision follows another choice in training; of token choice there is a section of
// its own.
std::vector<LayerMetrics> decided_layers(const StepMetrics& evaluation) {
  std::vector<LayerMetrics> layers = evaluation.layers;
  std::erase_if(layers, [](const LayerMetrics& layer) { return layer.experts.has_value(); });
  return layers;
}

std::string table(const Runs& runs, size_t index, const StepMetrics& evaluation) {
  const std::vector<LayerMetrics> layers = decided_layers(evaluation);
  std::string out;
  append(out, "<h3>", run_name(runs, index), "</h3>\n<p class=note>At step ",
         integer_text(evaluation.step), "; all blocks together: accuracy ",
         percent(evaluation.agreement, 1), ", precision ", percent(evaluation.precision, 1),
         ", recall ", percent(evaluation.recall, 1), ".</p>\n");
  out +=
      "<div class=wide><table class=layers><thead><tr><td></td><th scope=col>capacity</th>"
      "<th scope=col>share taken</th><th scope=col>router mean</th><th scope=col>spread</th>"
      "<th scope=col>accuracy</th><th scope=col>precision</th><th scope=col>recall</th>"
      "<td></td></tr></thead>\n<tbody>\n";
  double capacity = 0;
  for (const LayerMetrics& layer : layers) {
    add_layer(out, layer);
    if (std::isfinite(layer.capacity)) capacity += layer.capacity;
  }
  out += "</tbody></table></div>\n";
  capacity /= static_cast<double>(layers.size());
  append(out,
         "<p class=note>Capacity is the share of tokens that training selects; share taken is what "
         "the causal decision lets in. Accuracy, precision and recall compare the decision with "
         "training’s selection");
  if (capacity > 0 && capacity < 0.5) {
    append(out, "; a decision that let nothing in would have an accuracy of ",
           percent(1 - capacity, 1));
  }
  return out + ".</p>\n";
}

}  // namespace

std::string layer_section(const Runs& runs) {
  std::string body;
  for (size_t i = 0; i < runs.size(); ++i) {
    const StepMetrics* evaluation = runs[i].last_evaluation();
    if (evaluation && !decided_layers(*evaluation).empty()) {
      body += table(runs, i, *evaluation);
    } else if (evaluation && !evaluation->layers.empty()) {
      append(body, "<p class=note>In ", escape_html(runs[i].name),
             " each token chooses among experts, in training as afterwards: see Experts.</p>\n");
    } else if (!evaluation) {
      append(body, "<p class=note>", escape_html(runs[i].name), " has no evaluation yet.</p>\n");
    }
  }
  if (body.empty()) body = "<p class=note>No run has routed blocks.</p>\n";
  return "<section id=layers>\n<h2>Routed blocks</h2>\n" + body + "</section>\n";
}

}  // namespace pointwork
