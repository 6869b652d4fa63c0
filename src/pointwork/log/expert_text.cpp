#include "pointwork/log/expert_text.h"

#include <algorithm>
#include <string_view>

#include "pointwork/base/module_rounds.h"
#include "pointwork/log/terminal.h"

namespace pointwork {
namespace {

constexpr int kMostTokenColumns = 16, kGap = 2;
constexpr const char* kNobody = "·";
constexpr const char* kNotThere = "-";

// "layers.1.experts#2" as "layers", ".1", ".experts", "#2".
std::vector<std::string> parts_of(const std::string& name) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find_first_of(".#", begin + 1), name.size());
    parts.push_back(name.substr(begin, end - begin));
    begin = end;
  }
  return parts;
}

struct Headings {
  std::string common;                // "layers.*.experts"
  std::vector<std::string> heading;  // by layer: "1"
};

Headings headings_of(const std::vector<std::string>& layers) {
  if (layers.size() == 1) return {layers[0], {}};
  std::vector<std::vector<std::string>> names;
  for (const std::string& layer : layers) names.push_back(parts_of(layer));
  size_t shortest = names[0].size(), head = 0, tail = 0;
  for (const auto& name : names) shortest = std::min(shortest, name.size());
  const auto same = [&](auto part) {
    return std::all_of(names.begin(), names.end(),
                       [&](const auto& name) { return part(name) == part(names[0]); });
  };
  while (head + 1 < shortest && same([&](const auto& name) { return name[head]; })) ++head;
  while (head + tail + 1 < shortest &&
         same([&](const auto& name) { return name[name.size() - 1 - tail]; })) {
    ++tail;
  }
  const auto joined = [](const auto& name, size_t begin, size_t end) {
    std::string text;
    for (size_t i = begin; i < end; ++i) text += name[i];
    return text;
  };
  const size_t end = names[0].size() - tail;
  const std::string dot = names[0][head][0] == '.' ? "." : "";
  Headings all{joined(names[0], 0, head) + dot + "*" + joined(names[0], end, names[0].size()), {}};
  for (const auto& name : names) {
    const std::string own = joined(name, head, name.size() - tail);
    all.heading.push_back(own[0] == '.' ? own.substr(1) : own);
  }
  return all;
}

std::string shown_token(std::string_view bytes) {
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const size_t step = std::max<size_t>(1, character_length(bytes, at));
    const std::string character = safe_character(bytes.substr(at, step));
    text += character == "\n" ? "↵" : character == "\t" ? "⇥" : character;
    at += step;
  }
  return fit(text, kMostTokenColumns);
}

std::string shown_choice(const std::vector<int>& choice) {
  if (choice.empty()) return kNotThere;
  std::string text;
  for (const int expert : choice) {
    if (!text.empty()) text += ",";
    text += expert < 0 ? kNobody : std::to_string(expert);
  }
  return text;
}

// What stands in a column: a layer, or all rounds of a branch that a repeat applies.
struct Column {
  std::string name;
  std::vector<size_t> rounds;  // their layers, kNone where a round is not there
};

constexpr size_t kNone = static_cast<size_t>(-1);

std::vector<Column> columns_of(const std::vector<std::string>& layers) {
  std::vector<Column> columns;
  for (size_t l = 0; l < layers.size(); ++l) {
    const RoundName of = round_name(layers[l]);
    auto column = std::find_if(columns.begin(), columns.end(),
                               [&](const Column& one) { return one.name == of.branch; });
    if (column == columns.end()) column = columns.insert(columns.end(), {of.branch, {}});
    column->rounds.resize(std::max(column->rounds.size(), of.round + 1), kNone);
    column->rounds[of.round] = l;
  }
  return columns;
}

std::string padded(const std::string& text, int columns, bool right) {
  const std::string spaces(static_cast<size_t>(std::max(0, columns - display_width(text))), ' ');
  return right ? spaces + text : text + spaces;
}

// A cell a token: "02·1", and with spaces between the rounds where one is wider than a digit.
std::vector<std::string> cells_of(const Column& column, const std::vector<TokenExperts>& tokens) {
  std::vector<std::vector<std::string>> all;  // [token][round]
  int width = 1;
  for (const TokenExperts& token : tokens) {
    all.emplace_back();
    for (const size_t layer : column.rounds) {
      all.back().push_back(
          shown_choice(layer < token.choice.size() ? token.choice[layer] : std::vector<int>{}));
      width = std::max(width, display_width(all.back().back()));
    }
  }
  std::vector<std::string> cells;
  for (const std::vector<std::string>& rounds : all) {
    std::string text;
    for (const std::string& round : rounds)
      text += (text.empty() || width == 1 ? "" : " ") +
              padded(round, rounds.size() > 1 ? width : 1, true);
    cells.push_back(text);
  }
  return cells;
}

}  // namespace

std::string expert_text(const std::vector<std::string>& layers,
                        const std::vector<TokenExperts>& tokens, int columns) {
  if (layers.empty()) return "";
  const std::vector<Column> all = columns_of(layers);
  std::vector<std::string> branches;
  bool rounds = false;
  for (const Column& column : all) {
    branches.push_back(column.name);
    rounds = rounds || column.rounds.size() > 1;
  }
  const Headings names = headings_of(branches);
  std::vector<std::string> first;
  int token_width = 1;
  for (const TokenExperts& token : tokens) {
    first.push_back(shown_token(token.bytes));
    token_width = std::max(token_width, display_width(first.back()));
  }
  std::vector<std::vector<std::string>> cells;  // [column][token]
  std::vector<int> width(all.size(), 1);
  for (size_t c = 0; c < all.size(); ++c) {
    if (!names.heading.empty()) width[c] = display_width(names.heading[c]);
    cells.push_back(cells_of(all[c], tokens));
    for (const std::string& cell : cells[c]) width[c] = std::max(width[c], display_width(cell));
  }

  std::string text = "experts chosen in " + names.common + (rounds ? ", round by round" : "") +
                     " (· no-op or dropped, - not run)";
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    if (begin > 0) text += "\n";
    int used = token_width;
    for (end = begin; end < all.size(); ++end) {
      used += kGap + width[end];
      if (end > begin && used > columns) break;
    }
    const auto add = [&](const std::string& token, const auto& cell_of) {
      text += "\n" + padded(token, token_width, false);
      for (size_t c = begin; c < end; ++c) text += padded(cell_of(c), kGap + width[c], true);
    };
    if (!names.heading.empty()) add("", [&](size_t c) { return names.heading[c]; });
    for (size_t t = 0; t < tokens.size(); ++t) add(first[t], [&](size_t c) { return cells[c][t]; });
  }
  return text;
}

}  // namespace pointwork
