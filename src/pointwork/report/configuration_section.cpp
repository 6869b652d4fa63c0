#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>

#include "pointwork/base/check.h"
#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

void flatten(const Json& json, const std::string& prefix, std::vector<std::string>& order,
             std::map<std::string, std::string>& values) {
  if (json.is_object() && !json.empty()) {
    for (const auto& [key, value] : json.items()) {
      flatten(value, prefix.empty() ? key : prefix + "." + key, order, values);
    }
    return;
  }
  order.push_back(prefix);
  values[prefix] = json.is_string() ? json.get<std::string>()
                                    : json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Keys whose values are not the same in all runs.
std::string differences(const Runs& runs) {
  std::vector<std::string> order;
  std::vector<std::map<std::string, std::string>> values(runs.size());
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].facts || runs[i].facts->config.empty()) return "";
    std::vector<std::string> keys;
    flatten(runs[i].facts->config, "", keys, values[i]);
    for (const std::string& key : keys) {
      if (std::find(order.begin(), order.end(), key) == order.end()) order.push_back(key);
    }
  }
  std::string rows;
  for (const std::string& key : order) {
    std::string cells;
    bool differ = false;
    for (auto& one : values) {
      differ = differ || one[key] != values[0][key];
      append(cells, "<td>", one[key].empty() ? "–" : escape_html(one[key]), "</td>");
    }
    if (differ)
      append(rows, "<tr><th scope=row><code>", escape_html(key), "</code></th>", cells, "</tr>\n");
  }
  if (rows.empty()) return "<p class=note>The runs have the same configuration.</p>\n";
  std::string head;
  for (size_t i = 0; i < runs.size(); ++i)
    append(head, "<th scope=col>", run_name(runs, i), "</th>");
  return concat(
      "<details><summary>What differs</summary><div class=wide><table class=facts><thead>"
      "<tr><td></td>",
      head, "</tr></thead>\n<tbody>\n", rows, "</tbody></table></div></details>\n");
}

// As one argument of a POSIX shell.
std::string quoted(const std::string& text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("/._-+=:@%,").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

}  // namespace

std::string next_section(const Runs& runs) {
  const size_t base = reference_run(runs);
  size_t shown = 0;
  while (shown + 1 < runs.size() && !runs[shown].routed()) ++shown;
  const std::string run = quoted(runs[shown].path.string());
  std::string commands = concat("pointwork sample ", run, " --prompt \"Once upon a time\"",
                                runs[shown].routed() ? " --show-routing" : "", "\n");
  const auto config = [](const RunFolder& of) {
    return quoted((of.path / "pointwork.toml").string());
  };
  if (!runs[shown].toml.empty()) append(commands, "pointwork flops ", config(runs[shown]), "\n");
  if (base != shown && !runs[shown].toml.empty() && !runs[base].toml.empty()) {
    append(commands, "pointwork bench step ", config(runs[shown]), " --against ",
           config(runs[base]), "\n");
  } else {
    append(commands, "pointwork inspect ", run, "\n");
  }
  return concat("<section id=next>\n<h2>Next</h2>\n<pre class=commands>", escape_html(commands),
                "</pre>\n</section>\n");
}

std::string configuration_section(const Runs& runs) {
  std::string out = "<section id=configuration>\n<h2>Configuration</h2>\n";
  if (runs.size() > 1) out += differences(runs);
  for (size_t i = 0; i < runs.size(); ++i) {
    std::string text = runs[i].toml;
    if (text.empty() && runs[i].facts && !runs[i].facts->config.empty()) {
      text = runs[i].facts->config.dump(2, ' ', false, Json::error_handler_t::replace);
    }
    if (text.empty()) {
      append(out, "<p class=note>", escape_html(runs[i].name),
             " has no configuration on file.</p>\n");
    } else {
      append(out, "<details><summary>", run_name(runs, i), "</summary><pre>", escape_html(text),
             "</pre></details>\n");
    }
  }
  return out + "</section>\n";
}

}  // namespace pointwork
