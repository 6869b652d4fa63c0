#include "pointwork/report/report.h"

#include <algorithm>

#include "pointwork/base/check.h"
#include "pointwork/report/html.h"
#include "pointwork/report/sections.h"

namespace pointwork {
namespace {

// Runs that bear one name are told apart by their folders.
void make_names_differ(Runs& runs) {
  std::vector<bool> shared(runs.size(), false);
  for (size_t i = 0; i < runs.size(); ++i) {
    for (size_t j = 0; j < runs.size(); ++j) {
      if (i != j && runs[i].name == runs[j].name) shared[i] = true;
    }
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    if (shared[i]) runs[i].name = runs[i].path.lexically_normal().string();
  }
}

}  // namespace

std::string run_name(const Runs& runs, size_t index) {
  return concat("<span class='name c", index % 6, "'>", escape_html(runs[index].name), "</span>");
}

std::string report_html(const std::vector<std::filesystem::path>& folders) {
  check(!folders.empty(), "a report needs at least one run folder");
  Runs runs;
  for (const std::filesystem::path& folder : folders) runs.push_back(read_run_folder(folder));
  make_names_differ(runs);
  std::string title;
  for (const RunFolder& run : runs) append(title, title.empty() ? "" : ", ", run.name);
  std::string out = "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n";
  // The browser itself holds the page to needing nothing from anywhere.
  append(out,
         "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
         "'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n<link rel=icon "
         "href='data:,'>\n");
  append(out, "<meta name=viewport content='width=device-width, initial-scale=1'>\n",
         "<meta name=color-scheme content='light dark'>\n<title>", escape_html(title),
         " · Pointwork</title>\n<style>", kPageStyle, "</style>\n</head>\n<body>\n<main>\n");
  for (const auto section : {overview_section, loss_section, capacity_section, routing_section,
                             module_section, layer_section, expert_section, speed_section,
                             samples_section, next_section, configuration_section}) {
    out += section(runs);
  }
  append(out, "</main>\n<div id=tip role=status hidden></div>\n<script>", kPageScript,
         "</script>\n</body>\n</html>\n");
  return out;
}

}  // namespace pointwork
