#include "pointwork/log/routing_text.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "pointwork/log/terminal.h"

namespace pointwork {
namespace {

constexpr const char* kUnknownMark = "₋";

std::string mark(double share) {
  if (!std::isfinite(share)) return kUnknownMark;
  const int digit = static_cast<int>(std::lround(9 * std::clamp(share, 0.0, 1.0)));
  return {'\xE2', '\x82', static_cast<char>(0x80 + digit)};  // U+2080 + digit
}

int colour_of(double share) {
  if (!std::isfinite(share)) return -1;
  const double last = static_cast<double>(kShareRamp.size() - 1);
  return kShareRamp[static_cast<size_t>(std::lround(last * std::clamp(share, 0.0, 1.0)))];
}

struct Character {
  std::string text;
  size_t first, last;  // tokens it is made of
};

std::vector<Character> characters_of(const std::vector<TokenShare>& tokens) {
  std::string bytes;
  std::vector<size_t> owner;
  for (size_t i = 0; i < tokens.size(); ++i) {
    bytes += tokens[i].bytes;
    owner.resize(bytes.size(), i);
  }
  std::vector<Character> all;
  for (size_t at = 0; at < bytes.size();) {
    const size_t step = std::max<size_t>(1, character_length(bytes, at));
    const std::string_view character = std::string_view(bytes).substr(at, step);
    all.push_back({safe_character(character), owner[at], owner[at + step - 1]});
    at += step;
  }
  return all;
}

double mean_share(const std::vector<TokenShare>& tokens, const Character& c) {
  double sum = 0;
  size_t known = 0;
  for (size_t i = c.first; i <= c.last; ++i) {
    if (tokens[i].bytes.empty() || !std::isfinite(tokens[i].share)) continue;
    sum += tokens[i].share;
    ++known;
  }
  return known ? sum / static_cast<double>(known) : NAN;
}

std::string coloured_text(const std::vector<TokenShare>& tokens) {
  std::string text, run;
  int colour = -1;
  for (const Character& c : characters_of(tokens)) {
    const int next = colour_of(mean_share(tokens, c));
    // Colours end before each line's end, so that pagers and copies of single lines stay right.
    if (next != colour || c.text == "\n") {
      if (!run.empty()) text += coloured(run, colour);
      run.clear();
    }
    colour = next;
    if (c.text == "\n") {
      text += c.text;
    } else {
      run += c.text;
    }
  }
  if (!run.empty()) text += coloured(run, colour);
  text += "\nshare of routed blocks taken: ";
  for (size_t i = 0; i < kShareRamp.size(); ++i) {
    const char* label = i == 0 ? "none " : "██";
    text += coloured(i + 1 == kShareRamp.size() ? "██ all" : label, kShareRamp[i]);
  }
  return text;
}

// A token's mark stands before the line ends it finishes with, so that it is on the token's own
// line.
std::string marked_text(const std::vector<TokenShare>& tokens) {
  std::string text, line_ends;
  size_t marked = 0;  // tokens that have their mark
  const auto mark_until = [&](size_t end) {
    for (; marked < end; ++marked) {
      if (!tokens[marked].bytes.empty()) text += mark(tokens[marked].share);
    }
    text += line_ends;
    line_ends.clear();
  };
  for (const Character& c : characters_of(tokens)) {
    if (c.first > marked) mark_until(c.first);
    if (c.text == "\n") {
      line_ends += c.text;
    } else {
      text += line_ends + c.text;
      line_ends.clear();
    }
  }
  mark_until(tokens.size());
  return text + "\nshare of routed blocks taken: ₀ none … ₉ all, ₋ not run";
}

}  // namespace

std::string routing_text(const std::vector<TokenShare>& tokens, bool colour) {
  return colour ? coloured_text(tokens) : marked_text(tokens);
}

}  // namespace pointwork
