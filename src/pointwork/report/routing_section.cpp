#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"
#include "pointwork/report/token_text.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kCell = 8, kRow = 16, kGap = 3;

Json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  const double unit = std::pow(10.0, 3 - std::ceil(std::log10(std::fabs(value) + 1e-12)));
  return std::round(value * unit) / unit;
}

// Of each token "3", "3, no-op".
Json chosen_texts(const PassageLayer& layer, size_t tokens) {
  Json all = Json::array();
  for (size_t t = 0; t < tokens; ++t) {
    std::string text;
    for (size_t k = 0; k < layer.top_k; ++k) {
      const double choice = layer.choice[t * layer.top_k + k];
      if (!(choice >= 0)) continue;
      const bool expert = choice < static_cast<double>(layer.num_experts);
      append(text, text.empty() ? "" : ", ", expert ? integer_text(choice) : "no-op");
    }
    all.push_back(text);
  }
  return all;
}

Json passage_data(const Passage& passage) {
  Json layers = Json::array();
  for (const PassageLayer& layer : passage.layers) {
    Json entered = Json::array(), weight = Json::array(), decision = Json::array();
    for (size_t t = 0; t < passage.tokens.size(); ++t) {
      entered.push_back(layer.entered[t] ? 1 : 0);
      weight.push_back(rounded(layer.weight[t]));
      decision.push_back(rounded(layer.decision[t]));
    }
    layers.push_back(
        {{"name", layer.name}, {"entered", entered}, {"weight", weight}, {"decision", decision}});
    if (layer.top_k > 0) layers.back()["chose"] = chosen_texts(layer, passage.tokens.size());
  }
  return {{"tokens", passage.tokens}, {"layers", layers}};
}

// Row per routed block, column per token; only the cells of tokens that entered are drawn.
std::string heat_map(const Passage& passage) {
  const auto tokens = static_cast<int>(passage.tokens.size());
  const int width = tokens * kCell;
  const auto height = static_cast<int>(passage.layers.size()) * (kRow + kGap);
  std::string names, out;
  append(out, "<div class=scroll><svg class=heat viewBox='0 0 ", width, " ", height + 16,
         "' style='min-width:", width * 3 / 4, "px;max-width:", width * 7 / 4,
         "px' data-cell=", kCell, " data-row=", kRow + kGap,
         " role=img aria-label='Which tokens entered which routed block'>\n");
  for (size_t l = 0; l < passage.layers.size(); ++l) {
    const PassageLayer& layer = passage.layers[l];
    const int y = static_cast<int>(l) * (kRow + kGap);
    double largest = 0;
    for (const double w : layer.weight) {
      if (std::isfinite(w)) largest = std::max(largest, std::fabs(w));
    }
    append(out, "<rect class=ground x=0 y=", y, " width=", width, " height=", kRow, " />");
    for (int t = 0; t < tokens; ++t) {
      if (!layer.entered[t]) continue;
      const double w = layer.weight[t];
      const double strength = std::isfinite(w) && largest > 0 ? std::fabs(w) / largest : 1;
      append(out, "<rect", w < 0 ? " class=minus" : "", " x=", t * kCell, " y=", y,
             " width=", kCell, " height=", kRow,
             " fill-opacity=", std::round(100 * (0.35 + 0.65 * strength)) / 100, " />");
    }
    out += "\n";
  }
  for (int t = 0; t < tokens; t += 20) {
    append(out, "<text class=tick x=", t * kCell + (t > 0 ? kCell / 2 : 0), " y=", height + 12,
           t > 0 ? " text-anchor=middle" : "", ">", t, "</text>");
  }
  append(out, "<rect class=cursor width=", kCell, " height=", kRow,
         " visibility=hidden /><rect class=catch width=", width, " height=", height,
         " /></svg></div>");
  return out;
}

std::string layer_names(const Passage& passage) {
  std::string out = "<ol class=heatnames>";
  for (const PassageLayer& layer : passage.layers) {
    append(out, "<li>", escape_html(layer.name), "</li>");
  }
  return out + "</ol>";
}

std::vector<double> shares_of(const Passage& passage) {
  std::vector<double> shares(passage.tokens.size(), 0);
  for (const PassageLayer& layer : passage.layers) {
    for (size_t t = 0; t < shares.size(); ++t) shares[t] += layer.entered[t] ? 1 : 0;
  }
  for (double& share : shares) share /= static_cast<double>(passage.layers.size());
  return shares;
}

std::string summary_text(const Passage& passage, const std::vector<double>& shares) {
  size_t none = 0, all = 0;
  double sum = 0;
  for (const double share : shares) {
    none += share == 0 ? 1 : 0;
    all += share == 1 ? 1 : 0;
    sum += share;
  }
  const size_t blocks = passage.layers.size();
  std::string out = concat("A passage of ", shares.size(), " tokens through ", blocks,
                           " routed block", blocks > 1 ? "s" : "");
  if (std::isfinite(passage.step)) append(out, " at step ", integer_text(passage.step));
  if (!passage.routing.empty()) append(out, ", ", escape_html(passage.routing), " routing");
  append(out, ". ", none, " tokens entered none, ", all, blocks > 1 ? " all" : " entered it",
         "; on average a token took ",
         percent(sum / static_cast<double>(std::max<size_t>(1, shares.size())), 1),
         " of the routed blocks.");
  return out;
}

std::string show_passage(const Runs& runs, size_t index) {
  const Passage& passage = *runs[index].passage;
  const std::vector<double> taken = shares_of(passage);
  const std::vector<double> shares = telling_shares(taken);
  const bool coloured = std::any_of(shares.begin(), shares.end(), [](double s) { return s >= 0; });
  std::string out;
  append(out, "<div class=routing data-run=", index, ">\n<h3>", run_name(runs, index), "</h3>\n",
         "<p class=note>", summary_text(passage, taken), "</p>\n");
  append(out, "<div class=heatrow>", layer_names(passage), heat_map(passage), "</div>\n");
  out +=
      "<p class=key><span><i class='box strong'></i>entered, router weight large in its "
      "layer</span><span><i class='box weak'></i>entered, small</span><span><i class='box "
      "minus'></i>entered, weight negative</span><span><i class='box ground'></i>passed "
      "by</span></p>\n";
  append(out, "<p class=passage>", token_spans(passage.tokens, shares, 0), "</p>\n",
         coloured ? share_key() : "", "<script type='application/json' class=passagedata>",
         script_json(passage_data(passage)), "</script>\n</div>\n");
  return out;
}

}  // namespace

std::string routing_section(const Runs& runs) {
  std::string out = "<section id=routing>\n<h2>Routing</h2>\n" + expert_alarms_text(runs);
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto& passage = runs[i].passage;
    const std::string name = escape_html(runs[i].name);
    if (passage && !passage->layers.empty() && !passage->tokens.empty()) {
      out += show_passage(runs, i);
    } else if (passage || !runs[i].routed()) {
      append(out, "<p class=note>", name, " has no routed blocks: every token takes all.</p>\n");
    } else {
      append(out, "<p class=note>", name,
             " has no routing.json yet; training writes it when it ends.</p>\n");
    }
  }
  return out + "</section>\n";
}

}  // namespace pointwork
