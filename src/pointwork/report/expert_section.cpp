#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/base/expert_load.h"
#include "pointwork/log/expert_alarm.h"
#include "pointwork/report/expert_map.h"
#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"
#include "pointwork/report/token_text.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

void add_cell(std::string& out, const std::string& text, bool off = false) {
  append(out, off ? "<td class=off>▲ " : "<td>", text, "</td>");
}

void add_layer(std::string& out, const LayerMetrics& layer, bool noops) {
  const ExpertMetrics& e = *layer.experts;
  const ExpertLoads loads{layer.name, e.load, static_cast<int64_t>(e.num_experts)};
  const std::vector<int64_t> dead = dead_experts(loads);
  const double most =
      *std::max_element(e.load.begin(), e.load.begin() + static_cast<int64_t>(e.num_experts));
  append(out, "<tr><th scope=row>", escape_html(layer.name), "</th>");
  add_cell(out, integer_text(static_cast<double>(e.num_experts)));
  add_cell(out, fixed(most, 2) + " ×", most > kBusyLoad);
  add_cell(out, integer_text(static_cast<double>(dead.size())), !dead.empty());
  add_cell(out, percent(e.dropped_share, 1));
  if (noops) add_cell(out, percent(e.noop_share, 1));
  add_cell(out, percent(e.confidence, 1));
  add_cell(out, fixed(e.entropy, 2));
  add_cell(out, fixed(e.load_entropy, 3));
  append(out, "<td class=remark>", dead.empty() ? "" : "dead: ");
  for (size_t i = 0; i < dead.size(); ++i) append(out, i ? ", " : "", dead[i]);
  out += "</td></tr>\n";
}

std::string table(const StepMetrics& evaluation) {
  bool noops = false;
  for (const LayerMetrics& layer : evaluation.layers)
    noops = noops || (layer.experts && layer.experts->num_experts < layer.experts->load.size());
  std::string out =
      "<div class=wide><table class=layers><thead><tr><td></td><th scope=col>experts</th>"
      "<th scope=col>busiest</th><th scope=col>dead</th><th scope=col>dropped</th>";
  if (noops) out += "<th scope=col>to no-ops</th>";
  out +=
      "<th scope=col>confidence</th><th scope=col>entropy of scores</th><th scope=col>entropy of "
      "load</th><td></td></tr></thead>\n<tbody>\n";
  for (const LayerMetrics& layer : evaluation.layers) {
    if (layer.experts) add_layer(out, layer, noops);
  }
  return out + "</tbody></table></div>\n";
}

std::string affinity_table(const LayerAffinity& layer, bool open) {
  std::string out;
  append(out, "<details", open ? " open" : "", "><summary>", escape_html(layer.name),
         "</summary>\n<table class=affinity><thead><tr><th scope=col>expert</th><th "
         "scope=col>choices</th><th scope=col>its tokens, and how much likelier they choose "
         "it</th></tr></thead>\n<tbody>\n");
  for (size_t c = 0; c < layer.choices.size(); ++c) {
    const ExpertTokens& one = layer.choices[c];
    append(out, "<tr><th scope=row>", choice_name(c, layer.num_experts, layer.choices.size()),
           "</th><td>", percent(one.share, 1), "</td><td>");
    if (one.tokens.empty()) out += "–";
    for (size_t i = 0; i < one.tokens.size(); ++i) {
      append(out, "<span title='", integer_text(one.seen[i]), " times in the text'><code>",
             visible_token(one.tokens[i]), "</code> <small>", fixed(one.lift[i], 1),
             " ×</small></span> ");
    }
    out += "</td></tr>\n";
  }
  return out + "</tbody></table></details>\n";
}

std::string affinity(const Affinity& all) {
  std::string out;
  append(out, "<h4>Which tokens choose an expert</h4>\n<p class=note>Counted on ",
         integer_text(all.tokens),
         " tokens of validation text, over tokens that stand there at "
         "least ",
         integer_text(all.least),
         " times: how much likelier the token’s choices fall on this expert than all choices "
         "do.</p>\n");
  for (const LayerAffinity& layer : all.layers)
    out += affinity_table(layer, &layer == &all.layers.front());
  return out;
}

std::string one_run(const Runs& runs, size_t index) {
  const RunFolder& run = runs[index];
  std::string out = concat("<h3>", run_name(runs, index), "</h3>\n");
  if (const StepMetrics* evaluation = last_expert_loads(run)) {
    append(out, "<p class=note>At step ", integer_text(evaluation->step), ".</p>\n",
           table(*evaluation), expert_map(*evaluation));
    const std::string trends = expert_trends(run);
    if (!trends.empty()) append(out, "<h4>Over training</h4>\n", trends);
  }
  if (!run.affinity.layers.empty()) out += affinity(run.affinity);
  return out;
}

}  // namespace

std::string expert_section(const Runs& runs) {
  std::string body;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].has_experts()) body += one_run(runs, i);
  }
  if (body.empty()) return "";
  return concat(
      "<section id=experts>\n<h2>Experts</h2>\n<p class=note>Load is how often tokens chose an "
      "expert, before any was dropped, over its fair share: 1 × where all experts are chosen "
      "alike. "
      "Busiest is the highest load; an expert below ",
      percent(kDeadLoad, 0),
      " of its share is dead. Entropies are shares of the largest there can be: of a token’s "
      "scores "
      "1 is no preference, of the load 1 is balance. Confidence is the mean highest "
      "probability. Dropped are choices of an expert that was full, at the evaluation "
      "capacity.</p>\n",
      load_key(), body, "</section>\n");
}

std::string expert_alarms_text(const Runs& runs) {
  constexpr size_t kMost = 6;  // of a run; the table of experts has all
  std::string out;
  for (size_t i = 0; i < runs.size(); ++i) {
    const StepMetrics* evaluation = runs[i].last_evaluation();
    if (!evaluation || evaluation->alarms.empty()) continue;
    const std::vector<std::string>& alarms = evaluation->alarms;
    out += "<p class=alarm>";
    if (runs.size() > 1) append(out, run_name(runs, i), "<br>");
    for (size_t a = 0; a < std::min(kMost, alarms.size()); ++a)
      append(out, a ? "<br>▲ " : "▲ ", escape_html(alarms[a]));
    if (alarms.size() > kMost)
      append(out, "<br>▲ and ", alarms.size() - kMost, " layers more, in the table of experts");
    out += "</p>\n";
  }
  return out;
}

}  // namespace pointwork
