#include "pointwork/log/expert_text.h"

#include <algorithm>
#include <string_view>

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

std::string padded(const std::string& text, int columns, bool right) {
  const std::string spaces(static_cast<size_t>(std::max(0, columns - display_width(text))), ' ');
  return right ? spaces + text : text + spaces;
}

}  // namespace

std::string expert_text(const std::vector<std::string>& layers,
                        const std::vector<TokenExperts>& tokens, int columns) {
  if (layers.empty()) return "";
  const Headings names = headings_of(layers);
  std::vector<std::vector<std::string>> lines(tokens.size());  // [token][layer]
  std::vector<std::string> first;
  std::vector<int> width(layers.size(), 1);
  int token_width = 1;
  for (size_t l = 0; l < layers.size() && !names.heading.empty(); ++l)
    width[l] = display_width(names.heading[l]);
  for (size_t t = 0; t < tokens.size(); ++t) {
    first.push_back(shown_token(tokens[t].bytes));
    token_width = std::max(token_width, display_width(first.back()));
    for (size_t l = 0; l < layers.size(); ++l) {
      lines[t].push_back(
          shown_choice(l < tokens[t].choice.size() ? tokens[t].choice[l] : std::vector<int>{}));
      width[l] = std::max(width[l], display_width(lines[t][l]));
    }
  }

  std::string text = "experts chosen in " + names.common + " (· no-op or dropped, - not run)";
  for (size_t begin = 0, end = 0; begin < layers.size(); begin = end) {
    if (begin > 0) text += "\n";
    int used = token_width;
    for (end = begin; end < layers.size(); ++end) {
      used += kGap + width[end];
      if (end > begin && used > columns) break;
    }
    const auto add = [&](const std::string& token, const std::vector<std::string>& cells) {
      text += "\n";
      text += padded(token, token_width, false);
      for (size_t l = begin; l < end; ++l) text += padded(cells[l], kGap + width[l], true);
    };
    if (!names.heading.empty()) add("", names.heading);
    for (size_t t = 0; t < tokens.size(); ++t) add(first[t], lines[t]);
  }
  return text;
}

}  // namespace pointwork
