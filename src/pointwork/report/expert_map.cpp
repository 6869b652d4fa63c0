#include "pointwork/report/expert_map.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/report/html.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kLevels = 8;                              // of each colour, 4 to a power of 2
constexpr size_t kMostColumns = 48, kMostCells = 4096;  // of one map over training

// Of a map's cells; the unit is a pixel.
struct Grid {
  double left = 0, top = 0, width = 0, height = 0;  // width, height: of one cell
};

struct Loads {
  std::vector<std::string> rows, columns;  // their names
  std::vector<std::vector<double>> load;   // [rows][columns], NaN: no cell
};

// 0 at the fair share, ±kLevels at 4 times and at a quarter of it.
int level_of(double load) {
  if (!(load > 0)) return -kLevels;
  return std::clamp(static_cast<int>(std::lround(4 * std::log2(load))), -kLevels, kLevels);
}

// A path a level, cells side by side in one piece: a page may hold tens of thousands of them.
std::string cells(const Loads& loads, const Grid& grid) {
  std::array<std::string, 2 * kLevels + 1> paths;
  for (size_t r = 0; r < loads.load.size(); ++r) {
    const std::vector<double>& row = loads.load[r];
    for (size_t begin = 0, end = 0; begin < row.size(); begin = end) {
      end = begin + 1;
      if (std::isnan(row[begin])) continue;
      const int level = level_of(row[begin]);
      while (end < row.size() && !std::isnan(row[end]) && level_of(row[end]) == level) ++end;
      const double left = px(grid.left + grid.width * static_cast<double>(begin));
      const double right = px(grid.left + grid.width * static_cast<double>(end));
      append(paths[static_cast<size_t>(level + kLevels)], "M", left, " ",
             px(grid.top + grid.height * static_cast<double>(r)), "H", right, "v", px(grid.height),
             "H", left, "z");
    }
  }
  std::string out;
  for (int level = -kLevels; level <= kLevels; ++level) {
    const std::string& path = paths[static_cast<size_t>(level + kLevels)];
    if (path.empty()) continue;
    append(out, "<path class=", level < 0 ? "below" : level > 0 ? "above" : "fair");
    // Not opaque, so that figures on it can be read.
    if (level != 0)
      append(out, " fill-opacity=", std::round(100 * (0.04 + 0.085 * std::abs(level))) / 100);
    append(out, " d='", path, "'/>");
  }
  return out;
}

double rounded(double load) {
  const double unit = load < 0.1 ? 1000 : load < 10 ? 100 : 10;
  return std::round(unit * load) / unit;
}

// What hovering needs, and where.
std::string hover(const Loads& loads, const Grid& grid) {
  Json rows = Json::array();
  for (const auto& row : loads.load) {
    Json values = Json::array();
    for (const double load : row)
      values.push_back(std::isnan(load) ? Json(nullptr) : Json(rounded(load)));
    rows.push_back(std::move(values));
  }
  const Json data = {{"rows", loads.rows},
                     {"columns", loads.columns},
                     {"load", rows},
                     {"at", {px(grid.left), px(grid.top), grid.width, grid.height}}};
  return "<script type='application/json'>" + script_json(data) + "</script>";
}

std::string catch_area(const Loads& loads, const Grid& grid) {
  return concat("<rect class=catch x='", px(grid.left), "' y='", px(grid.top), "' width='",
                px(grid.width * static_cast<double>(loads.columns.size())), "' height='",
                px(grid.height * static_cast<double>(loads.rows.size())), "'/>");
}

std::vector<const LayerMetrics*> expert_layers(const StepMetrics& evaluation) {
  std::vector<const LayerMetrics*> layers;
  for (const LayerMetrics& layer : evaluation.layers) {
    if (layer.experts) layers.push_back(&layer);
  }
  return layers;
}

// All evaluations that tell of experts, or evenly chosen ones, the first and the last among them.
std::vector<const StepMetrics*> shown_evaluations(const RunFolder& run) {
  std::vector<const StepMetrics*> all, shown;
  for (const StepMetrics& m : run.metrics) {
    if (!expert_layers(m).empty()) all.push_back(&m);
  }
  if (all.size() < 2) return all;
  size_t choices = 1;
  for (const LayerMetrics* layer : expert_layers(*all.back()))
    choices = std::max(choices, layer->experts->load.size());
  const size_t most = std::clamp<size_t>(kMostCells / choices, 12, kMostColumns);
  if (all.size() <= most) return all;
  for (size_t k = 0; k < most; ++k) shown.push_back(all[k * (all.size() - 1) / (most - 1)]);
  return shown;
}

const ExpertMetrics* experts_of(const StepMetrics& m, const std::string& layer) {
  for (const LayerMetrics& one : m.layers) {
    if (one.name == layer && one.experts) return &*one.experts;
  }
  return nullptr;
}

constexpr double kWidth = 328, kLeft = 42, kRight = 322, kStrip = 34, kHead = 24;

// A curve of values between 0 and `top` in a strip whose upper edge is at `y`.
std::string curve(const std::vector<double>& values, double top, double y, double cell,
                  const std::string& name, const std::string& unit_top) {
  std::string path;
  bool pen = false;
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) {
      append(path, pen ? "L" : "M", px(kLeft + cell * (static_cast<double>(i) + 0.5)), " ",
             px(y + kStrip * (1 - std::clamp(values[i] / top, 0.0, 1.0))));
    }
    pen = std::isfinite(values[i]);
  }
  std::string out;
  append(out, "<text class=title x='", kLeft, "' y='", px(y - 6), "'>", name, "</text>",
         "<path class=grid d='M", kLeft, " ", px(y), "H", kRight, "M", kLeft, " ", px(y + kStrip),
         "H", kRight, "'/><text x='", kLeft - 6, "' y='", px(y), "' dy='.32em' text-anchor=end>",
         unit_top, "</text><text x='", kLeft - 6, "' y='", px(y + kStrip),
         "' dy='.32em' text-anchor=end>0</text>");
  if (!path.empty()) append(out, "<path class=line d='", path, "'/>");
  return out + "\n";
}

// A round share that is not below any of them.
double top_of(const std::vector<double>& shares) {
  double most = 0;
  for (const double share : shares) {
    if (std::isfinite(share)) most = std::max(most, share);
  }
  for (const double top : {0.01, 0.02, 0.05, 0.1, 0.2, 0.5}) {
    if (most <= top) return top;
  }
  return 1;
}

// Below a map, by evaluation.
struct Strip {
  std::string name;
  std::vector<double> values;
  double top = 1;
  std::string unit_top = "1";
};

Strip share_strip(const std::string& name, std::vector<double> shares) {
  const double most = top_of(shares);
  const std::string title = name + " " + percent(shares.back(), 1);
  return {title, std::move(shares), most, percent(most, 0)};
}

// A figure of a branch; `rounds`: of one that a repeat applies.
std::string trend(const std::vector<const StepMetrics*>& evaluations, const std::string& layer,
                  bool rounds) {
  const ExpertMetrics& last = *experts_of(*evaluations.back(), layer);
  const size_t choices = last.load.size();
  Loads loads;
  std::vector<double> entropy, dropped, noop;
  loads.load.assign(choices, {});
  for (size_t c = 0; c < choices; ++c)
    loads.rows.push_back((c < last.num_experts ? "expert " : "") +
                         choice_name(c, last.num_experts, choices));
  for (const StepMetrics* m : evaluations) {
    const ExpertMetrics* e = experts_of(*m, layer);
    loads.columns.push_back("step " + integer_text(m->step));
    for (size_t c = 0; c < choices; ++c)
      loads.load[c].push_back(e && c < e->load.size() ? e->load[c] : kUnknown);
    entropy.push_back(e ? e->entropy : kUnknown);
    dropped.push_back(e ? e->dropped_share : kUnknown);
    noop.push_back(e ? e->noop_share : kUnknown);
  }
  std::vector<Strip> strips = {{"entropy of scores " + fixed(entropy.back(), 2), entropy}};
  const bool drops = std::any_of(dropped.begin(), dropped.end(), [](double d) { return d > 0; });
  if (drops || !rounds) strips.push_back(share_strip("dropped", dropped));
  const std::string noop_name = rounds ? "SKIP" : "no-op";
  if (last.num_experts < choices) strips.push_back(share_strip(noop_name, noop));

  const auto columns = static_cast<double>(evaluations.size());
  const auto experts = static_cast<double>(last.num_experts);
  const Grid grid{.left = kLeft,
                  .top = 6,
                  .width = (kRight - kLeft) / columns,
                  .height = std::clamp(160 / static_cast<double>(choices), 2.0, 12.0)};
  const double bottom = grid.top + grid.height * static_cast<double>(choices);
  const double height = bottom + static_cast<double>(strips.size()) * (kHead + kStrip) + 22;

  std::string out;
  append(out, "<figure class=loadmap><figcaption>", escape_html(layer),
         "</figcaption><svg viewBox='0 0 ", kWidth, " ", px(height), "' width='", kWidth,
         "' height='", px(height),
         "' role=img aria-label='Load of each expert over training, with ",
         "entropy and shares'>\n");
  out += cells(loads, grid);
  const auto label = [&](double row, const std::string& text) {
    append(out, "<text x='", kLeft - 6, "' y='", px(grid.top + grid.height * (row + 0.5)),
           "' dy='.32em' text-anchor=end>", text, "</text>");
  };
  label(0, "0");
  if (grid.height * (experts - 1) >= 11) label(experts - 1, fixed(experts - 1, 0));
  if (last.num_experts < choices) {
    append(out, "<path class=axis d='M", kLeft, " ", px(grid.top + grid.height * experts), "H",
           kRight, "'/>");
    if (grid.height >= 11) label(experts, noop_name);
  }
  double y = bottom + kHead;
  for (const Strip& strip : strips) {
    out += curve(strip.values, strip.top, y, grid.width, strip.name, strip.unit_top);
    y += kStrip + kHead;
  }
  append(out, "<text x='", kLeft, "' y='", px(height - 4), "'>step ",
         integer_text(evaluations.front()->step), "</text><text x='", kRight, "' y='",
         px(height - 4), "' text-anchor=end>", integer_text(evaluations.back()->step), "</text>",
         catch_area(loads, grid), "</svg>", hover(loads, grid), "</figure>\n");
  return out;
}

}  // namespace

const StepMetrics* last_expert_loads(const RunFolder& run) {
  for (auto m = run.metrics.rbegin(); m != run.metrics.rend(); ++m) {
    if (!expert_layers(*m).empty()) return &*m;
  }
  return nullptr;
}

std::string choice_name(size_t index, size_t experts, size_t choices) {
  if (index < experts) return std::to_string(index);
  return choices - experts == 1 ? "no-op" : "no-op " + std::to_string(index - experts);
}

std::string expert_map(const StepMetrics& evaluation) {
  const std::vector<const LayerMetrics*> layers = expert_layers(evaluation);
  size_t choices = 0, experts = 0, name = 0;
  for (const LayerMetrics* layer : layers) {
    if (layer->experts->load.size() > choices) experts = layer->experts->num_experts;
    choices = std::max(choices, layer->experts->load.size());
    name = std::max(name, shortened(layer->name, 24).size());
  }
  Loads loads;
  for (size_t c = 0; c < choices; ++c)
    loads.columns.push_back((c < experts ? "expert " : "") + choice_name(c, experts, choices));
  for (const LayerMetrics* layer : layers) {
    loads.rows.push_back(layer->name);
    loads.load.push_back(layer->experts->load);
    loads.load.back().resize(choices, kUnknown);
  }
  const bool figures = choices <= 20;
  const Grid grid{.left = 7.0 * static_cast<double>(name) + 10,
                  .top = 0,
                  .width = figures         ? 38.0
                           : choices <= 64 ? 12.0
                                           : std::max(3.0, 768 / static_cast<double>(choices)),
                  .height = figures ? 22.0 : 15.0};
  const double bottom = grid.height * static_cast<double>(layers.size());
  const double width = grid.left + grid.width * static_cast<double>(choices) + 44;

  std::string out;
  append(out, "<div class='loadmap scroll'><svg viewBox='0 0 ", px(width), " ", bottom + 20,
         "' width='", px(width), "' height='", bottom + 20,
         "' role=img aria-label='Load of each expert in each layer'>\n", cells(loads, grid), "\n");
  for (size_t r = 0; r < layers.size(); ++r) {
    const double y = grid.height * (static_cast<double>(r) + 0.5);
    append(out, "<text x='", px(grid.left - 8), "' y='", px(y), "' dy='.34em' text-anchor=end>",
           escape_html(shortened(layers[r]->name, 24)), "</text>");
    for (size_t c = 0; c < choices && figures; ++c) {
      if (std::isnan(loads.load[r][c])) continue;
      append(out, "<text class=n x='", px(grid.left + grid.width * (static_cast<double>(c) + 0.5)),
             "' y='", px(y), "' dy='.34em' text-anchor=middle>", fixed(loads.load[r][c], 2),
             "</text>");
    }
    out += "\n";
  }
  const size_t every = figures ? 1 : grid.width >= 12 ? 8 : choices / 8;
  for (size_t c = 0; c < choices; ++c) {
    const bool noop = c >= experts;
    if (noop ? c > experts : c % every != 0) continue;
    append(out, "<text class=tick x='", px(grid.left + grid.width * (static_cast<double>(c) + 0.5)),
           "' y='", bottom + 15, "' text-anchor=", noop && !figures ? "start" : "middle", ">",
           !noop                   ? std::to_string(c)
           : choices - experts > 1 ? "no-ops"
                                   : "no-op",
           "</text>");
  }
  if (experts < choices)
    append(out, "<path class=axis d='M", px(grid.left + grid.width * static_cast<double>(experts)),
           " 0v", bottom, "'/>");
  append(out, catch_area(loads, grid), "</svg>", hover(loads, grid), "</div>\n");
  return out;
}

std::string expert_trends(const RunFolder& run, bool rounds) {
  const std::vector<const StepMetrics*> evaluations = shown_evaluations(run);
  if (evaluations.size() < 2) return "";
  std::string out;
  for (const LayerMetrics* layer : expert_layers(*evaluations.back())) {
    if (run.in_rounds(layer->name) == rounds) out += trend(evaluations, layer->name, rounds);
  }
  return out.empty() ? "" : "<div class=trends>\n" + out + "</div>\n";
}

std::string load_key() {
  Loads scale;
  scale.load.emplace_back();
  for (int level = -kLevels; level <= kLevels; level += 2)
    scale.load[0].push_back(std::exp2(level / 4.0));
  const auto count = static_cast<double>(scale.load[0].size());
  return concat("<p class=key><span>load ¼ × <svg class=loadscale viewBox='0 0 ", 18 * count,
                " 14' width='", 18 * count, "' height='14'>",
                cells(scale, {.left = 0, .top = 0, .width = 18, .height = 14}),
                "</svg> 4 × the fair share, and beyond</span></p>\n");
}

}  // namespace pointwork
