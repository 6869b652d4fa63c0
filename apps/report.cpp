// report: one self-contained HTML page about one or more runs.

#include <cstdio>

#include "apps/common.h"
#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/report/report.h"

namespace pointwork::app {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> runs;
  std::string out = "report.html";
  bool force = false;
};

int run(const Options& options, const Common& common) {
  check_out_file(options.out, options.force);
  const std::vector<fs::path> folders(options.runs.begin(), options.runs.end());
  write_file(options.out, report_html(folders));
  if (common.json) {
    print_json({{"out", options.out}});
  } else if (!common.quiet) {
    std::printf("%s\n", options.out.c_str());
  }
  return 0;
}

}  // namespace

Run add_report(CLI::App& command, Common& common) {
  const auto o = std::make_shared<Options>();
  command.add_option("RUN", o->runs, "run folders, as train makes them")->required();
  command.add_option("--out", o->out, "the page to write")
      ->type_name("FILE.html")
      ->capture_default_str();
  command.add_flag("--force", o->force, "replace a page that is there");
  command.footer(
      "Curves against steps, FLOPs and time, routing over a real passage, routed blocks, speed, "
      "samples.\n"
      "Runs trained on the same data are compared at equal FLOPs. Needs no network to be read.\n"
      "Examples:\n"
      "  pointwork report quickstart/bible/mod --out mod.html\n"
      "  pointwork report quickstart/bible/mod quickstart/bible/dense --out report.html --force");
  return [=, &common] { return run(*o, common); };
}

}  // namespace pointwork::app
