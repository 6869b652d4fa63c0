#include "pointwork/report/report.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>

#include "pointwork/base/check.h"
#include "tests/report/run_files.h"
#include "tests/support/data.h"

namespace pointwork {
namespace {

using test::count;
using test::put;
using test::TemporaryFolder;

class Report : public testing::Test {
 protected:
  void SetUp() override {
    test::write_run(folder / "mod", {.name = "mod"});
    test::write_run(folder / "dense",
                    {.name = "dense", .routed = false, .steps = 100, .flops_per_token = 20e6});
  }
  std::string both() const { return report_html({folder / "mod", folder / "dense"}); }

  TemporaryFolder folder;
};

TEST_F(Report, NeedsNothingFromAnywhere) {
  const std::string page = both();
  EXPECT_EQ(page.find("http://"), std::string::npos);
  EXPECT_EQ(page.find("https://"), std::string::npos);
  EXPECT_EQ(page.find("src="), std::string::npos);
  EXPECT_EQ(page.find("@import"), std::string::npos);
  EXPECT_EQ(page.find("url(http"), std::string::npos);
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
}

TEST_F(Report, EveryElementOpenedIsClosed) {
  const std::string page = both();
  for (const char* name :
       {"section", "table", "tr", "div", "p", "svg", "g", "details", "pre", "figure", "blockquote",
        "script", "style", "ol", "li", "h2", "h3", "code"}) {
    const std::regex open("<" + std::string(name) + "[ >]");
    const auto opened = std::distance(std::sregex_iterator(page.begin(), page.end(), open), {});
    EXPECT_EQ(static_cast<size_t>(opened), count(page, "</" + std::string(name) + ">")) << name;
  }
}

TEST_F(Report, DataCannotBecomeMarkup) {
  put(folder / "mod/pointwork.toml", "# </pre><script>alert(1)</script>\n");
  auto json = test::run_json({.name = "<img src=x onerror=alert(1)>"});
  json["device"] = "<script>";
  put(folder / "mod/run.json", json.dump());
  const std::string page = both();
  EXPECT_EQ(page.find("<img"), std::string::npos);
  EXPECT_EQ(page.find("alert(1)</script>"), std::string::npos);
  EXPECT_EQ(page.find("<b>\""), std::string::npos);
  // Two blocks of data and the script itself: no token ends one early.
  EXPECT_EQ(count(page, "</script>"), 3u);
  EXPECT_NE(page.find("&lt;/script&gt;"), std::string::npos);
}

TEST_F(Report, DrawsThreeChartsAndTheHeatMap) {
  const std::string page = both();
  EXPECT_EQ(count(page, "<svg class=chart"), 3u);
  EXPECT_EQ(count(page, "<svg class=heat"), 1u);
  // Three of eight cells were entered.
  EXPECT_EQ(count(page, "fill-opacity="), 3u);
  EXPECT_NE(page.find("2 tokens entered none, 1 all; on average a token took 37.5\u00a0%"),
            std::string::npos);
  EXPECT_NE(page.find("dense has no routed blocks"), std::string::npos);
}

TEST_F(Report, FlagsWhatIsOff) {
  const std::string page = both();
  EXPECT_EQ(count(page, "<td class=off>"), 2u);
  EXPECT_NE(page.find("share 3.0 points above capacity; accuracy below 97\u00a0%"),
            std::string::npos);
  EXPECT_NE(page.find("<td class=off>▲ 15.5\u00a0%"), std::string::npos);
}

TEST_F(Report, ShowsSavings) {
  const std::string page = both();
  // From bench.json, and from the runs: 3,000 against 2,000 tokens/s, twice the FLOPs.
  EXPECT_EQ(count(page, "<div class=barvalue>1.50 ×"), 2u);
  EXPECT_EQ(count(page, "<div class=barvalue>2.00 ×"), 2u);
  EXPECT_EQ(count(page, "<div class=barvalue>75.0\u00a0%"), 2u);
}

TEST_F(Report, SaysWhatDiffersInTheConfiguration) {
  const std::string page = both();
  EXPECT_NE(page.find("<code>model.layers</code>"), std::string::npos);
  EXPECT_EQ(page.find("<code>model.hidden_size</code>"), std::string::npos);
}

TEST_F(Report, AMissingFileDropsItsSectionOnly) {
  const std::map<std::string, std::string> told = {{"run.json", "has no run.json"},
                                                   {"metrics.jsonl", "has no losses to draw"},
                                                   {"routing.json", "has no routing.json"},
                                                   {"samples.json", "has no samples yet"},
                                                   {"bench.json", "No run has a bench.json"}};
  const std::string whole = report_html({folder / "mod"});
  for (const auto& [file, text] : told) {
    EXPECT_EQ(whole.find(text), std::string::npos) << file;
    test::write_run(folder / "mod", {.name = "mod"});
    std::filesystem::remove(folder / ("mod/" + file));
    const std::string page = report_html({folder / "mod"});
    EXPECT_NE(page.find(text), std::string::npos) << file;
    EXPECT_EQ(count(page, "<section"), count(whole, "<section")) << file;
    EXPECT_EQ(page.find("nan"), std::string::npos) << file;
  }
}

TEST_F(Report, UnknownNumbersAreDashesEverywhere) {
  put(folder / "mod/metrics.jsonl", "{\"step\":1,\"loss\":null,\"flops\":null}\n");
  put(folder / "mod/run.json", "{\"parameters\":null}");
  put(folder / "mod/bench.json", "{\"seconds\":null}");
  const std::string page = both();
  EXPECT_EQ(page.find("nan"), std::string::npos);
  EXPECT_EQ(page.find("inf'"), std::string::npos);
}

TEST_F(Report, RunsOfOneNameAreToldApart) {
  test::write_run(folder / "other", {.name = "mod"});
  const std::string page = report_html({folder / "mod", folder / "other"});
  EXPECT_NE(page.find("/mod</span>"), std::string::npos);
  EXPECT_NE(page.find("/other</span>"), std::string::npos);
  EXPECT_THROW(report_html({}), Error);
}

}  // namespace
}  // namespace pointwork
