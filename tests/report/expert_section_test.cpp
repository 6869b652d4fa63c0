// The page's part on experts: what it shows of loads, over training, of tokens; nothing without
// token choice.

#include <gtest/gtest.h>

#include <regex>

#include "pointwork/base/check.h"
#include "pointwork/report/expert_map.h"
#include "pointwork/report/report.h"
#include "pointwork/report/sections.h"
#include "tests/report/run_files.h"
#include "tests/support/data.h"

namespace pointwork {
namespace {

using test::count;
using test::Json;
using test::put;
using test::TemporaryFolder;

Json layer_of(const std::string& name, const std::vector<double>& load, size_t experts) {
  return {{"layer", name},
          {"capacity", 1},
          {"routed_share", 1},
          {"experts",
           {{"num_experts", experts},
            {"load", load},
            {"load_entropy", 0.9},
            {"entropy", 0.75},
            {"confidence", 0.5},
            {"dropped_share", 0.03},
            {"noop_share", experts < load.size() ? 0.25 : 0},
            {"z", nullptr}}}};
}

Json evaluation(int step, const std::vector<Json>& layers) {
  return {{"step", step},
          {"loss", 4},
          {"validation_loss", 4},
          {"validation_loss_training", 4},
          {"layers", layers}};
}

class Experts : public testing::Test {
 protected:
  void write(const std::vector<Json>& evaluations) {
    std::string lines;
    for (const Json& one : evaluations) lines += one.dump() + "\n";
    put(folder / "run/metrics.jsonl", lines);
  }
  std::string section() { return expert_section({read_run_folder(folder / "run")}); }
  std::string page() { return report_html({folder / "run"}); }

  TemporaryFolder folder;
};

TEST_F(Experts, OldRunsShowNothingNew) {
  test::write_run(folder / "run", {});
  EXPECT_EQ(section(), "");
  const std::string whole = page();
  for (const char* part : {"id=experts", "class=loadmap", "<p class=alarm>"})
    EXPECT_EQ(whole.find(part), std::string::npos) << part;
}

TEST_F(Experts, TheTableNamesTheDeadAndTheOverrun) {
  write({evaluation(
      50, {layer_of("layers.1", {0.5, 0.004, 3.4, 0}, 4), layer_of("layers.3", {1, 1, 1, 1}, 4)})});
  const std::string text = section();
  EXPECT_NE(text.find("<td class=off>▲ 3.40 ×</td><td class=off>▲ 2</td>"), std::string::npos);
  EXPECT_NE(text.find("<td class=remark>dead: 1, 3</td>"), std::string::npos);
  EXPECT_NE(text.find("<td>1.00 ×</td><td>0</td><td>3.0\u00a0%</td><td>50.0\u00a0%</td>"
                      "<td>0.75</td><td>0.900</td><td class=remark></td>"),
            std::string::npos);
  EXPECT_EQ(text.find("to no-ops"), std::string::npos);
  // One evaluation is no course of training.
  EXPECT_EQ(text.find("Over training"), std::string::npos);
  EXPECT_EQ(count(text, "class='loadmap"), 1u);
}

TEST_F(Experts, ColoursFollowLoadsByPowersOfTwo) {
  write({evaluation(50, {layer_of("layers.1", {4, 9, 0, 0.24, 1.05, 2}, 6)})});
  const std::string map = expert_map(*last_expert_loads(read_run_folder(folder / "run")));
  // Four times and more, a quarter and less, the fair share, twice; neighbours in one piece.
  const double left = 7.0 * 8 + 10, cell = 38;
  const auto piece = [&](int first, int end) {
    return concat("d='M", left + cell * first, " 0H", left + cell * end, "v22H",
                  left + cell * first, "z'");
  };
  EXPECT_NE(map.find("<path class=above fill-opacity=0.72 " + piece(0, 2)), std::string::npos);
  EXPECT_NE(map.find("<path class=below fill-opacity=0.72 " + piece(2, 4)), std::string::npos);
  EXPECT_NE(map.find("<path class=fair " + piece(4, 5)), std::string::npos);
  EXPECT_NE(map.find("<path class=above fill-opacity=0.38 " + piece(5, 6)), std::string::npos);
  EXPECT_EQ(count(map, "<path"), 4u);
  EXPECT_NE(map.find(">0.24</text>"), std::string::npos);
}

TEST_F(Experts, NoOpsStandApart) {
  write({evaluation(50, {layer_of("layers.1", {1, 1, 0.5, 0}, 2)}),
         evaluation(60, {layer_of("layers.1", {1, 1, 0.5, 0}, 2)})});
  const std::string text = section();
  EXPECT_NE(text.find("to no-ops"), std::string::npos);
  EXPECT_NE(text.find("<td>25.0\u00a0%</td>"), std::string::npos);
  EXPECT_NE(text.find("\"expert 1\",\"no-op 0\",\"no-op 1\""), std::string::npos);
  EXPECT_EQ(count(text, "class=axis"), 2u);
  EXPECT_EQ(text.find("dead: "), std::string::npos) << "a no-op may have any load";
}

TEST_F(Experts, TrainingIsShownByEvaluation) {
  std::vector<Json> evaluations;
  for (int step = 1; step <= 200; ++step)
    evaluations.push_back(evaluation(step, {layer_of("layers.1", {2.0 * step / 200, 1}, 2)}));
  // Steps between evaluations say nothing of experts.
  evaluations.push_back({{"step", 201}, {"loss", 3}});
  write(evaluations);
  const std::string trends = expert_trends(read_run_folder(folder / "run"));
  EXPECT_EQ(count(trends, "<figure class=loadmap>"), 1u);
  EXPECT_EQ(count(trends, "\"step "), 48u);
  EXPECT_NE(trends.find("\"step 1\""), std::string::npos);
  EXPECT_NE(trends.find("\"step 200\""), std::string::npos);
  EXPECT_NE(trends.find("entropy of scores 0.75"), std::string::npos);
  EXPECT_NE(trends.find("dropped 3.0\u00a0%"), std::string::npos);
  EXPECT_NE(trends.find(">5\u00a0%</text>"), std::string::npos);
  EXPECT_EQ(count(trends, "class=line"), 2u);
}

TEST_F(Experts, ManyExpertsAndLayersStayOnePage) {
  std::vector<Json> evaluations;
  for (int step = 1; step <= 60; ++step) {
    std::vector<Json> layers;
    for (int l = 0; l < 24; ++l) {
      std::vector<double> load;
      for (int e = 0; e < 64; ++e) load.push_back(1 + ((e * 7 + l * 5 + step * 3) % 13 - 6) / 8.0);
      layers.push_back(layer_of("layers." + std::to_string(l), load, 64));
    }
    evaluations.push_back(evaluation(step, layers));
  }
  write(evaluations);
  const std::string text = section();
  EXPECT_EQ(count(text, "<figure class=loadmap>"), 24u);
  EXPECT_EQ(text.find("<text class=n"), std::string::npos) << "cells too small for figures";
  EXPECT_LT(text.size(), 3u << 20);
}

// The table of routed blocks compares decisions with training; a token's own choice is both.
TEST_F(Experts, DecisionsAreJudgedWhereThereAreAny) {
  const Json depth = {{"layer", "layers.0"}, {"capacity", 0.25}, {"routed_share", 0.5}};
  write({evaluation(50, {depth, layer_of("layers.1", {1, 1}, 2)})});
  std::string text = layer_section({read_run_folder(folder / "run")});
  EXPECT_EQ(count(text, "<th scope=row>"), 1u);
  EXPECT_NE(text.find("layers.0"), std::string::npos);
  write({evaluation(50, {layer_of("layers.1", {1, 1}, 2)})});
  text = layer_section({read_run_folder(folder / "run")});
  EXPECT_EQ(text.find("<table"), std::string::npos);
  EXPECT_NE(text.find("each token chooses among experts"), std::string::npos);
}

TEST_F(Experts, AlarmsStandAboveTheRouting) {
  Json last = evaluation(50, {layer_of("layers.1", {0, 2}, 2)});
  for (int l = 0; l < 8; ++l) last["alarms"].push_back(concat("layers.", l, ": <dead>"));
  Json first = evaluation(40, {layer_of("layers.1", {0, 2}, 2)});
  first["alarms"] = {"long gone"};
  write({first, last});
  const std::string whole = page();
  const size_t routing =
      whole.find("<h2>Routing</h2>\n<p class=alarm>▲ layers.0: &lt;dead&gt;<br>");
  EXPECT_NE(routing, std::string::npos);
  EXPECT_NE(whole.find("<br>▲ and 2 layers more"), std::string::npos);
  EXPECT_EQ(whole.find("long gone"), std::string::npos);
}

Json affinity_json() {
  const auto choice = [](double share, std::vector<std::string> tokens, std::vector<double> lift) {
    Json seen = Json::array();
    for (size_t i = 0; i < tokens.size(); ++i) seen.push_back(10 + i);
    return Json{{"share", share}, {"tokens", tokens}, {"lift", lift}, {"seen", seen}};
  };
  return {{"tokens", 8192},
          {"least", 5},
          {"layers",
           {{{"name", "layers.1"},
             {"num_experts", 2},
             {"choices",
              {choice(0.25, {" the", "\n", "<b>"}, {4, 2.5, 1.25}), choice(0.5, {"\x1b"}, {2}),
               choice(0.25, {}, {})}}}}}};
}

TEST_F(Experts, TokensOfEachExpert) {
  Json routing = test::routing_json();
  routing["affinity"] = affinity_json();
  write({evaluation(50, {layer_of("layers.1", {0.5, 1, 0.5}, 2)})});
  put(folder / "run/routing.json", routing.dump());
  const std::string text = section();
  EXPECT_NE(text.find("<th scope=row>0</th><td>25.0\u00a0%</td><td><span title='10 times in the "
                      "text'><code>␣the</code> <small>4.0 ×</small></span>"),
            std::string::npos);
  EXPECT_NE(text.find("<code>↵</code>"), std::string::npos);
  EXPECT_NE(text.find("<code>&lt;b&gt;</code>"), std::string::npos);
  EXPECT_NE(text.find("<code>␛</code>"), std::string::npos);
  EXPECT_NE(text.find("<th scope=row>no-op</th><td>25.0\u00a0%</td><td>–</td>"), std::string::npos);
  EXPECT_NE(text.find("Counted on 8,192 tokens"), std::string::npos);
}

TEST_F(Experts, ThePassageTellsWhatWasChosen) {
  Json routing = test::routing_json();
  for (Json& layer : routing["layers"]) {
    layer["entered"] = {1, 1, 1, 1};
    layer["num_experts"] = 8;
    layer["top_k"] = 2;
    layer["choice"] = {3, 7, 0, 8, 9, -1, 1, 2};
  }
  write({evaluation(50, {layer_of("layers.1", {1, 1}, 2)})});
  put(folder / "run/routing.json", routing.dump());
  const std::string whole = page();
  EXPECT_NE(whole.find("\"chose\":[\"3, 7\",\"0, no-op\",\"no-op\",\"1, 2\"]"), std::string::npos);
  // Every token took all: colour would say nothing.
  EXPECT_EQ(whole.find("<span style=--s:"), std::string::npos);
}

TEST_F(Experts, EveryElementOpenedIsClosed) {
  Json routing = test::routing_json();
  routing["affinity"] = affinity_json();
  put(folder / "run/routing.json", routing.dump());
  std::vector<Json> evaluations;
  for (const int step : {50, 60})
    evaluations.push_back(evaluation(step, {layer_of("layers.1", {1, 0, 0.5}, 2)}));
  write(evaluations);
  const std::string text = section();
  for (const char* name : {"section", "table", "tr", "td", "th", "div", "p", "svg", "text",
                           "details", "figure", "figcaption", "script", "span", "code", "h4"}) {
    const std::regex open(concat("<", name, "[ >]"));
    const auto opened = std::distance(std::sregex_iterator(text.begin(), text.end(), open), {});
    EXPECT_GT(opened, 0) << name;
    EXPECT_EQ(static_cast<size_t>(opened), count(text, concat("</", name, ">"))) << name;
  }
  EXPECT_EQ(page().find("nan"), std::string::npos);
}

TEST_F(Experts, DamageIsToldByFileAndField) {
  const auto expect = [&](const Json& line, const Json& routing, const std::string& part) {
    write({line});
    put(folder / "run/routing.json", routing.dump());
    try {
      read_run_folder(folder / "run");
      ADD_FAILURE() << "read well, expected: " << part;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  const Json good = evaluation(50, {layer_of("layers.1", {1, 1}, 2)});
  expect(evaluation(50, {layer_of("layers.1", {1, 1}, 3)}), test::routing_json(),
         "layers[0], experts: num_experts must be 1 to 2 but is 3");
  Json routing = test::routing_json();
  routing["layers"][1]["choice"] = {1, 2, 3};
  expect(good, routing, "layers[1]: num_experts must be");
  routing["layers"][1]["num_experts"] = 4;
  routing["layers"][1]["top_k"] = 1;
  expect(good, routing, "layers[1]: choice must have top_k = 1 entries for each of the 4 tokens");
  routing = test::routing_json();
  routing["affinity"] = affinity_json();
  routing["affinity"]["layers"][0]["choices"][1]["lift"] = Json::array();
  expect(good, routing, "choices[1]: lift and seen must have one entry for each of the 1 tokens");
}

}  // namespace
}  // namespace pointwork
