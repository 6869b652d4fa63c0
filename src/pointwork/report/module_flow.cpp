#include "pointwork/report/module_flow.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/report/html.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

constexpr double kBar = 32, kTall = 180, kGap = 7, kTop = 20;  // pixels; kTall: all tokens
constexpr double kLeastShare = 0.0005;                         // narrower ribbons are not seen
constexpr size_t kColours = 8;

struct Columns {
  double pitch = 0;
  std::vector<std::vector<double>> top;  // [R][E + 1] of bars

  double left(size_t round) const { return pitch * static_cast<double>(round); }
};

Columns columns_of(const ModuleRounds& branch) {
  Columns columns{.pitch = std::clamp(560 / static_cast<double>(branch.rounds), 64.0, 140.0),
                  .top = {}};
  for (size_t r = 0; r < branch.rounds; ++r) {
    columns.top.emplace_back();
    double y = kTop;
    for (size_t s = 0; s < branch.states(); ++s) {
      columns.top.back().push_back(y);
      y += kTall * branch.share_of(r, s) + kGap;
    }
  }
  return columns;
}

std::string ribbons(const ModuleRounds& branch, const Columns& columns, size_t round,
                    const std::string& letter) {
  std::string out;
  const double left = px(columns.left(round) + kBar), right = px(columns.left(round + 1));
  const double middle = px((left + right) / 2);
  std::vector<double> begin = columns.top[round], end = columns.top[round + 1];
  for (size_t from = 0; from < branch.states(); ++from) {
    for (size_t to = 0; to < branch.states(); ++to) {
      const double share = branch.flow(round, from, to), wide = kTall * share;
      const double y = px(begin[from]), v = px(end[to]), z = px(begin[from] + wide),
                   w = px(end[to] + wide);
      begin[from] += wide;
      end[to] += wide;
      if (!(share >= kLeastShare)) continue;
      append(out, "<path class=", state_class(branch, from), " d='M", left, " ", y, "C", middle,
             " ", y, " ", middle, " ", v, " ", right, " ", v, "V", w, "C", middle, " ", w, " ",
             middle, " ", z, " ", left, " ", z, "z' data-tip='round ", round, " to ", round + 1,
             ": ", state_name(branch, from, letter), " → ", state_name(branch, to, letter), ", ",
             percent(share, 1), "'/>");
    }
  }
  return out + "\n";
}

std::string bars(const ModuleRounds& branch, const Columns& columns, size_t round,
                 const std::string& letter) {
  std::string out;
  const double left = px(columns.left(round));
  for (size_t s = 0; s < branch.states(); ++s) {
    const double share = branch.share_of(round, s), tall = kTall * share;
    if (!(share > 0)) continue;
    append(out, "<rect class=", state_class(branch, s), " x=", left,
           " y=", px(columns.top[round][s]), " width=", kBar, " height=", std::max(0.5, px(tall)),
           " data-tip='round ", round, ": ", state_name(branch, s, letter), ", ", percent(share, 1),
           "'/>");
    if (tall < 12) continue;
    append(out, "<text class='n ", state_class(branch, s), "' x=", px(left + kBar / 2),
           " y=", px(columns.top[round][s] + tall / 2), " dy='.34em' text-anchor=middle>",
           state_name(branch, s, letter), "</text>");
  }
  append(out, "<text x=", px(left + kBar / 2), " y=12 text-anchor=middle>", round, "</text>\n");
  return out;
}

}  // namespace

std::string state_class(const ModuleRounds& branch, size_t state) {
  return state < branch.experts ? concat("m", state % kColours) : "ms";
}

std::string state_name(const ModuleRounds& branch, size_t state, const std::string& letter) {
  return state < branch.experts ? concat(letter, state) : "SKIP";
}

std::string module_flow(const ModuleRounds& branch, const std::string& letter) {
  const Columns columns = columns_of(branch);
  const double width = px(columns.left(branch.rounds - 1) + kBar);
  const double height = kTop + kTall + kGap * static_cast<double>(branch.experts) + 2;
  std::string out;
  append(out, "<div class='flow scroll'><svg viewBox='0 0 ", width, " ", height, "' width='", width,
         "' height='", height, "' role=img aria-label='Which module follows which, of ",
         escape_html(branch.name), "'>\n");
  for (size_t r = 0; r + 1 < branch.rounds; ++r) out += ribbons(branch, columns, r, letter);
  for (size_t r = 0; r < branch.rounds; ++r) out += bars(branch, columns, r, letter);
  return out + "</svg></div>\n";
}

}  // namespace pointwork
