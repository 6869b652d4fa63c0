#include <algorithm>
#include <cmath>

#include "pointwork/base/check.h"
#include "pointwork/report/expert_map.h"
#include "pointwork/report/html.h"
#include "pointwork/report/module_flow.h"
#include "pointwork/report/sections.h"
#include "pointwork/report/token_text.h"
#include "pointwork/report/units.h"

namespace pointwork {
namespace {

// A branch with what its names need.
struct Pool {
  const ModuleRounds* rounds;
  std::string name, kind, letter;  // "mha", "attention", "A"
};

// Branches side by side in one body.
struct Body {
  std::string name;  // "layers.1.body"
  std::vector<Pool> pools;
};

// The kind of the branch `name` as the run's config has it; "" where it does not tell.
std::string kind_of(const RunFolder& run, std::string name) {
  if (!run.facts) return "";
  name = name.substr(0, name.find('~'));  // "mlp~2" is the second of its name
  for (int depth = 0; depth < 2; ++depth) {
    const nlohmann::json::json_pointer at("/branch/" + name);
    if (!run.facts->config.contains(at)) return "";
    const auto& branch = run.facts->config.at(at);
    const std::string kind = branch.value("kind", "");
    if (kind != "routed") return kind;
    name = branch.value("of", "");
  }
  return "";
}

std::vector<Body> bodies_of(const RunFolder& run) {
  std::vector<Body> bodies;
  for (const ModuleRounds& one : run.modules.branches) {
    const size_t dot = one.name.rfind('.');
    const std::string body = dot == std::string::npos ? "" : one.name.substr(0, dot);
    const std::string name = dot == std::string::npos ? one.name : one.name.substr(dot + 1);
    const std::string kind = kind_of(run, name);
    if (bodies.empty() || bodies.back().name != body) bodies.push_back({body, {}});
    Pool pool{&one, name, "", "M"};
    if (kind == "attention") pool = {&one, name, ", attention", "A"};
    if (kind == "mlp") pool = {&one, name, ", feed-forward", "F"};
    bodies.back().pools.push_back(pool);
  }
  return bodies;
}

std::string swatch(const ModuleRounds& branch, size_t state) {
  return concat("<i class='mod ", state_class(branch, state), "'></i>");
}

// Modules by rounds; darker the more tokens.
std::string share_table(const Pool& pool) {
  const ModuleRounds& branch = *pool.rounds;
  std::string out = "<div class=wide><table class=rounds><thead><tr><td>round</td>";
  for (size_t r = 0; r < branch.rounds; ++r) append(out, "<th scope=col>", r, "</th>");
  out += "<th scope=col>all</th></tr></thead>\n<tbody>\n";
  for (size_t s = 0; s < branch.states(); ++s) {
    append(out, "<tr><th scope=row>", swatch(branch, s), state_name(branch, s, pool.letter),
           "</th>");
    double sum = 0;
    for (size_t r = 0; r < branch.rounds; ++r) {
      const double share = branch.share_of(r, s);
      sum += share;
      append(out, "<td");
      if (share > 0) append(out, " style=--s:", std::round(100 * share) / 100);
      append(out, ">", percent(share, 1), "</td>");
    }
    append(out, "<td>", percent(sum / static_cast<double>(branch.rounds), 1), "</td></tr>\n");
  }
  return out + "</tbody></table></div>\n";
}

// "A2 · A0+A1 · SKIP"; – where the token did not stand before the round.
std::string path_text(const std::vector<int32_t>& path, const Pool& pool) {
  std::string out;
  for (size_t at = 0; at < path.size(); at += pool.rounds->top_k) {
    std::string step;
    for (size_t k = 0; k < pool.rounds->top_k; ++k) {
      const int32_t state = path[at + k];
      if (state < 0) continue;
      append(step, step.empty() ? "" : "+",
             state_name(*pool.rounds, static_cast<size_t>(state), pool.letter));
    }
    append(out, out.empty() ? "" : " · ", step.empty() ? "–" : step);
  }
  return out;
}

// A row of cells a choice, a cell a round.
std::string path_cells(const std::vector<int32_t>& path, const Pool& pool) {
  std::string out;
  for (size_t k = 0; k < pool.rounds->top_k; ++k) {
    out += "<b>";
    for (size_t at = k; at < path.size(); at += pool.rounds->top_k) {
      out +=
          path[at] < 0
              ? "<i>"
              : concat("<i class=", state_class(*pool.rounds, static_cast<size_t>(path[at])), ">");
      out += "</i>";
    }
    out += "</b>";
  }
  return out;
}

std::string path_table(const Pool& pool) {
  const ModuleRounds& branch = *pool.rounds;
  double shown = 0;
  for (const ModulePath& path : branch.paths) shown += path.share;
  std::string out;
  append(out, "<p class=note>", integer_text(branch.distinct_paths), " different paths");
  if (branch.distinct_paths > static_cast<double>(branch.paths.size()))
    append(out, "; the ", branch.paths.size(), " most frequent are those of ", percent(shown, 1),
           " of tokens");
  out += ".</p>\n<table class=paths><tbody>\n";
  for (const ModulePath& path : branch.paths) {
    append(out, "<tr><td class=cells>", path_cells(path.choice, pool), "</td><td>",
           path_text(path.choice, pool), "</td><td>", percent(path.share, 1), "</td></tr>\n");
  }
  return out + "</tbody></table>\n";
}

std::string pool_text(const Pool& pool) {
  const ModuleRounds& branch = *pool.rounds;
  std::string out;
  append(out, "<div><h5>", escape_html(pool.name), pool.kind, "</h5>\n<p class=note>",
         branch.experts, " modules, ", branch.rounds, " rounds, top ", branch.top_k, "; ",
         percent(branch.skipped(), 1), " of choices are SKIP.</p>\n", share_table(pool),
         module_flow(branch, pool.letter), path_table(pool), "</div>\n");
  return out;
}

// Of each token of the passage its path through this pool; empty where the passage does not have
// it.
std::vector<std::vector<int32_t>> passage_paths(const Passage& passage, const Pool& pool) {
  const ModuleRounds& branch = *pool.rounds;
  const size_t k = branch.top_k;
  std::vector<std::vector<int32_t>> paths;
  for (const PassageLayer& layer : passage.layers) {
    const RoundName of = round_name(layer.name);
    if (of.branch != branch.name || layer.top_k != k || of.round >= branch.rounds) continue;
    paths.resize(passage.tokens.size(), std::vector<int32_t>(branch.rounds * k, -1));
    for (size_t t = 0; t < paths.size(); ++t) {
      std::vector<int32_t> chosen;
      for (size_t i = t * k; i < (t + 1) * k; ++i) {
        const double state = std::min(layer.choice[i], static_cast<double>(branch.experts));
        if (state >= 0) chosen.push_back(static_cast<int32_t>(state));
      }
      std::sort(chosen.begin(), chosen.end());
      std::copy(chosen.begin(), chosen.end(),
                paths[t].begin() + static_cast<int64_t>(of.round * k));
    }
  }
  return paths;
}

// With a sign for what would end its line inside.
std::string shown(const std::string& token) {
  std::string out;
  for (const char c : escape_html(token)) {
    if (c == '\n') {
      out += "↵";
    } else {
      out += c;
    }
  }
  return out;
}

std::string passage_text(const Passage& passage, const Body& body) {
  std::vector<std::vector<std::vector<int32_t>>> paths;
  for (const Pool& pool : body.pools) paths.push_back(passage_paths(passage, pool));
  if (std::all_of(paths.begin(), paths.end(), [](const auto& one) { return one.empty(); }))
    return "";
  std::string out = "<p class=note>A passage: under each token a cell a round,";
  for (const Pool& pool : body.pools)
    append(out, &pool == &body.pools.front() ? " " : ", then ", escape_html(pool.name));
  out += ".</p>\n<div class=steps>";
  for (size_t t = 0; t < passage.tokens.size(); ++t) {
    const std::string& token = passage.tokens[t];
    append(out, "<span data-tip='“", visible_token(token), "” position ", t);
    std::string cells;
    for (size_t p = 0; p < paths.size(); ++p) {
      if (paths[p].empty()) continue;
      append(out, "\n", path_text(paths[p][t], body.pools[p]));
      cells += path_cells(paths[p][t], body.pools[p]);
    }
    append(out, "'>", shown(token), cells, "</span>");
    if (token.find('\n') != std::string::npos) out += "<br>";
  }
  return out + "</div>\n";
}

std::string body_text(const RunFolder& run, const Body& body) {
  std::string out;
  append(out, "<h4>", escape_html(body.name), "</h4>\n<div class=columns>\n");
  for (const Pool& pool : body.pools) out += pool_text(pool);
  out += "</div>\n";
  if (run.passage) out += passage_text(*run.passage, body);
  return out;
}

std::string one_run(const Runs& runs, size_t index) {
  const RunFolder& run = runs[index];
  std::string out;
  append(out, "<h3>", run_name(runs, index), "</h3>\n<p class=note>Counted on ",
         integer_text(run.modules.tokens), " tokens of text.</p>\n");
  for (const Body& body : bodies_of(run)) out += body_text(run, body);
  const std::string trends = expert_trends(run, /*rounds=*/true);
  if (!trends.empty())
    append(out, "<h4>Over training, all rounds together</h4>\n", load_key(), trends);
  return out;
}

}  // namespace

std::string module_section(const Runs& runs) {
  std::string body;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].modules.branches.empty()) body += one_run(runs, i);
  }
  if (body.empty()) return "";
  return "<section id=modules>\n<h2>Modules</h2>\n<p class=note>In each round routers choose, "
         "token "
         "by token, which module comes next, or SKIP, which adds nothing. Rounds count from 0, as "
         "in the names of routes. The tables have the share of tokens that take a module in a "
         "round; bars and ribbons are as high as the share that they stand for. A token that takes "
         "several modules at once counts for each with its part.</p>\n" +
         body + "</section>\n";
}

}  // namespace pointwork
