#include <algorithm>
#include <cmath>

#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"
#include "pointwork/report/token_text.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

// How many tokens spell the prompt; 0 where the tokens are only what followed.
size_t prompt_tokens(const SampleText& sample) {
  std::string text;
  for (size_t t = 0; t < sample.tokens.size(); ++t) {
    if (!sample.prompt.empty() && text == sample.prompt) return t;
    text += sample.tokens[t];
    if (sample.prompt.compare(0, text.size(), text) != 0) return 0;
  }
  return 0;
}

bool spelt_whole(const SampleText& sample) {
  for (const std::string& token : sample.tokens) {
    if (token.find("\uFFFD") != std::string::npos) return false;
  }
  return !sample.tokens.empty();
}

bool coloured(const SampleText& sample) {
  const std::vector<double> shares = telling_shares(sample.share);
  return spelt_whole(sample) &&
         std::any_of(shares.begin(), shares.end(), [](double s) { return std::isfinite(s); });
}

std::string one(const SampleText& sample) {
  std::string out = "<figure class=sample><blockquote>";
  if (spelt_whole(sample)) {
    const size_t prompt = prompt_tokens(sample);
    if (prompt == 0) append(out, "<span class=given>", escape_html(sample.prompt), "</span>");
    out += token_spans(sample.tokens, telling_shares(sample.share), prompt);
  } else {
    append(out, "<span class=given>", escape_html(sample.prompt), "</span>",
           escape_html(sample.text));
  }
  out += "</blockquote>";
  std::string how;
  if (std::isfinite(sample.temperature)) append(how, "temperature ", sample.temperature);
  if (std::isfinite(sample.seed)) {
    append(how, how.empty() ? "" : ", ", "seed ", integer_text(sample.seed));
  }
  return out + "<figcaption>" + how + "</figcaption></figure>\n";
}

}  // namespace

std::string samples_section(const Runs& runs) {
  std::string out = "<section id=samples>\n<h2>Samples</h2>\n";
  bool shown = false;
  std::string missing;
  out += "<div class=columns>\n";
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].samples.empty()) {
      append(missing, "<p class=note>", escape_html(runs[i].name), " has no samples yet.</p>\n");
      continue;
    }
    append(out, "<div><h3>", run_name(runs, i), "</h3>\n");
    for (const SampleText& sample : runs[i].samples) {
      out += one(sample);
      shown = shown || coloured(sample);
    }
    out += "</div>\n";
  }
  return out + "</div>\n" + (shown ? share_key() : "") + missing + "</section>\n";
}

}  // namespace pointwork
