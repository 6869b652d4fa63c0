#include "pointwork/report/token_text.h"

#include <algorithm>
#include <cmath>

#include "pointwork/log/terminal.h"
#include "pointwork/report/html.h"

namespace pointwork {

std::string token_spans(const std::vector<std::string>& tokens, const std::vector<double>& shares,
                        size_t prompt) {
  std::string out;
  for (size_t t = 0; t < tokens.size(); ++t) {
    out += t < prompt ? "<span class=given" : "<span";
    // The step of 1/100 keeps the page small; nobody sees a finer one.
    if (std::isfinite(shares[t]) && shares[t] > 0) {
      append(out, " style=--s:", std::round(100 * shares[t]) / 100);
    }
    out += ">";
    for (const char c : escape_html(tokens[t])) {
      if (c == '\n') out += "<i>↵</i>";
      out += c;
    }
    out += "</span>";
  }
  return out;
}

std::string visible_token(const std::string& token) {
  std::string out;
  for (size_t at = 0; at < token.size();) {
    const size_t step = std::max<size_t>(1, character_length(token, at));
    const std::string character = safe_character(std::string_view(token).substr(at, step));
    out += character == " " ? "␣" : character == "\n" ? "↵" : character == "\t" ? "⇥" : character;
    at += step;
  }
  return escape_html(out);
}

std::vector<double> telling_shares(std::vector<double> shares) {
  const bool all = std::all_of(shares.begin(), shares.end(),
                               [](double share) { return !std::isfinite(share) || share == 1; });
  if (all) shares.assign(shares.size(), NAN);
  return shares;
}

std::string share_key() {
  std::string out = "<p class=key>share of routed blocks taken: <span class=scale>";
  for (const char* share : {"0", ".25", ".5", ".75", "1"}) {
    append(out, "<i style=--s:", share, ">", static_cast<int>(100 * std::stod(share)), "</i>");
  }
  return out + " %</span></p>\n";
}

}  // namespace pointwork
