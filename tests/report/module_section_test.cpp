// The page's part on modules: shares by round, flows and paths, each against what is counted by
// hand; nothing where no repeat applies token choice.

#include <gtest/gtest.h>

#include <regex>

#include "pointwork/base/check.h"
#include "pointwork/report/expert_map.h"
#include "pointwork/report/module_flow.h"
#include "pointwork/report/report.h"
#include "pointwork/report/sections.h"
#include "tests/report/run_files.h"
#include "tests/support/data.h"

namespace pointwork {
namespace {

using test::count;
using test::Json;
using test::put;

Json layer_of(const std::string& name, size_t experts, size_t top_k, const Json& choice) {
  const size_t tokens = choice.size() / top_k;
  return {{"name", name},
          {"capacity", 1},
          {"weight", nullptr},
          {"decision", nullptr},
          {"entered", std::vector<int>(tokens, 1)},
          {"num_experts", experts},
          {"top_k", top_k},
          {"choice", choice}};
}

// Two rounds of attention over 2 modules and of a feed-forward over 2 that takes both of two
// choices; of four tokens two go the same way.
Json passage() {
  return {{"step", 60},
          {"routing", "inference"},
          {"tokens", {"In", " <b>", ".\n", "'x'"}},
          {"layers",
           {layer_of("layers.1.body.mha", 2, 1, {0, 0, 1, 2}),
            layer_of("layers.1.body.ffn", 2, 2, {0, 1, 0, 1, 0, 2, 2, 3}),
            layer_of("layers.1.body.mha#1", 2, 1, {1, 1, 1, 2}),
            layer_of("layers.1.body.ffn#1", 2, 2, {1, 0, 0, 1, 1, -1, 0, 2})}}};
}

Json run_json() {
  Json run = test::run_json({});
  run["config"]["branch"] = {{"mha", {{"kind", "attention"}}},
                             {"ffn", {{"kind", "routed"}, {"of", "mlp"}}},
                             {"mlp", {{"kind", "mlp"}}}};
  return run;
}

// What training counted on more text than the passage.
Json counted() {
  return {{"tokens", 8192},
          {"branches",
           {{{"name", "layers.1.body.mha"},
             {"num_experts", 2},
             {"top_k", 1},
             {"rounds", 2},
             {"share", {0.5, 0.25, 0.25, 0, 0, 1}},
             {"next", {0, 0, 0.5, 0, 0, 0.25, 0, 0, 0.25}},
             {"distinct_paths", 3},
             {"paths", {{{"share", 0.5}, {"choice", {0, 2}}}}}}}}};
}

class Modules : public testing::Test {
 protected:
  void SetUp() override {
    put(folder / "run/run.json", run_json().dump());
    put(folder / "run/routing.json", passage().dump());
  }
  RunFolder run() const { return read_run_folder(folder / "run"); }
  std::string section() const { return module_section({run()}); }
  void write_loads(const std::vector<const char*>& branches) {
    std::string lines;
    for (const int step : {50, 60}) {
      Json line = {{"step", step}, {"loss", 4}, {"validation_loss", 4}, {"layers", Json::array()}};
      for (const char* branch : branches)
        line["layers"].push_back({{"layer", branch},
                                  {"experts",
                                   {{"num_experts", 2},
                                    {"load", {1, 1, 0.5}},
                                    {"entropy", 0.75},
                                    {"dropped_share", 0},
                                    {"noop_share", step == 60 ? 0.2 : 0.1}}}});
      lines += line.dump() + "\n";
    }
    put(folder / "run/metrics.jsonl", lines);
  }

  test::TemporaryFolder folder;
};

TEST_F(Modules, RunsWithoutRoundsShowNothing) {
  test::write_run(folder / "other", {});
  EXPECT_EQ(module_section({read_run_folder(folder / "other")}), "");
  Json once = passage();
  once["layers"].erase(once["layers"].begin() + 2, once["layers"].end());
  put(folder / "run/routing.json", once.dump());
  EXPECT_EQ(section(), "");
  EXPECT_EQ(report_html({folder / "run"}).find("id=modules"), std::string::npos);
}

TEST_F(Modules, TheTableHasTheShareOfEachModuleInEachRound) {
  const std::string text = section();
  EXPECT_EQ(count(text, "<table class=rounds>"), 2u);
  EXPECT_EQ(count(text,
                  "<td>round</td><th scope=col>0</th><th scope=col>1</th>"
                  "<th scope=col>all</th>"),
            2u);
  const auto row = [](const char* swatch, const char* name, const char* cells) {
    return concat("<tr><th scope=row><i class='mod ", swatch, "'></i>", name, "</th>", cells,
                  "</tr>");
  };
  test::expect_parts(
      text,
      {"<h5>mha, attention</h5>", "<h5>ffn, feed-forward</h5>",
       row("m0", "A0", "<td style=--s:0.5>50.0\u00a0%</td><td>0.0\u00a0%</td><td>25.0\u00a0%</td>"),
       row("m1", "A1",
           "<td style=--s:0.25>25.0\u00a0%</td><td style=--s:0.75>75.0\u00a0%</td>"
           "<td>50.0\u00a0%</td>"),
       row("ms", "SKIP",
           "<td style=--s:0.25>25.0\u00a0%</td><td style=--s:0.25>25.0\u00a0%</td>"
           "<td>25.0\u00a0%</td>"),
       // Of the feed-forward's choices each is half a token's, or all of one's that made one.
       row("m0", "F0",
           "<td style=--s:0.38>37.5\u00a0%</td><td style=--s:0.38>37.5\u00a0%</td>"
           "<td>37.5\u00a0%</td>"),
       row("ms", "SKIP",
           "<td style=--s:0.38>37.5\u00a0%</td><td style=--s:0.13>12.5\u00a0%</td>"
           "<td>25.0\u00a0%</td>"),
       "2 modules, 2 rounds, top 1; 25.0\u00a0% of choices are SKIP.",
       "Counted on 4 tokens of text."});
}

TEST_F(Modules, RibbonsAreAsHighAsTheShareThatTakesThem) {
  const ModuleRounds mha = run().modules.branches.at(0);
  const std::string flow = module_flow(mha, "A");
  // Bars of 180 pixels in all, 7 between them: A0 of 90, A1 of 45 and SKIP of 45; then A1 of 135.
  EXPECT_EQ(count(flow, "<rect"), 5u) << "nobody takes A0 in round 1";
  EXPECT_EQ(count(flow, "<path"), 3u);
  test::expect_parts(flow, {"<rect class=m0 x=0 y=20 width=32 height=90 data-tip='round 0: A0, ",
                            "<rect class=m1 x=0 y=117 width=32 height=45 ",
                            "<rect class=ms x=0 y=169 width=32 height=45 ",
                            "<rect class=m1 x=140 y=27 width=32 height=135 ",
                            "<rect class=ms x=140 y=169 width=32 height=45 "});
  test::expect_parts(flow,
                     {"<path class=m0 d='M32 20C86 20 86 27 140 27V117C86 117 86 110 32 110z' "
                      "data-tip='round 0 to 1: A0 → A1, 50.0\u00a0%'/>",
                      "<path class=m1 d='M32 117C86 117 86 117 140 117V162C86 162 86 162 32 162z' "
                      "data-tip='round 0 to 1: A1 → A1, 25.0\u00a0%'/>",
                      "<path class=ms d='M32 169C86 169 86 169 140 169V214C86 214 86 214 32 214z' "
                      "data-tip='round 0 to 1: SKIP → SKIP, 25.0\u00a0%'/>"});
}

TEST_F(Modules, PathsStandByTheirFrequency) {
  const std::string text = section();
  const size_t first = text.find("<td>A0 · A1</td><td>50.0\u00a0%</td>");
  const size_t second = text.find("<td>A1 · A1</td><td>25.0\u00a0%</td>");
  ASSERT_NE(first, std::string::npos);
  ASSERT_NE(second, std::string::npos);
  EXPECT_LT(first, second);
  test::expect_parts(
      text,
      {"3 different paths.</p>", "<td>SKIP · SKIP</td><td>25.0\u00a0%</td>",
       "<td>F0+F1 · F0+F1</td><td>50.0\u00a0%</td>", "<td>F0+SKIP · F1</td><td>25.0\u00a0%</td>",
       "<td class=cells><b><i class=m0></i><i class=m1></i></b></td><td>A0 · A1</td>",
       "<td class=cells><b><i class=m0></i><i class=m1></i></b><b><i class=ms></i><i></i></b>"
       "</td><td>F0+SKIP · F1</td>"});
}

TEST_F(Modules, EachTokenOfThePassageHasItsPath) {
  const std::string text = section();
  EXPECT_EQ(count(text, "<div class=steps>"), 1u) << "one for both pools of a body";
  EXPECT_EQ(count(text, "<span data-tip="), 4u);
  test::expect_parts(
      text, {"A passage: under each token a cell a round, mha, then ffn.",
             "<span data-tip='“In” position 0\nA0 · A1\nF0+F1 · F0+F1'>In<b><i class=m0></i>"
             "<i class=m1></i></b>",
             "<span data-tip='“␣&lt;b&gt;” position 1\n", "'> &lt;b&gt;<b>",
             "<span data-tip='“.↵” position 2\nA1 · A1\nF0+SKIP · F1'>.↵<b>", "</span><br><span",
             "<span data-tip='“&#39;x&#39;” position 3\nSKIP · SKIP\nSKIP+SKIP · F0+SKIP'>"});
}

TEST_F(Modules, WhatTrainingCountedGoesBeforeThePassage) {
  Json routing = passage();
  routing["modules"] = counted();
  put(folder / "run/routing.json", routing.dump());
  const std::string text = section();
  EXPECT_EQ(count(text, "<table class=rounds>"), 1u);
  test::expect_parts(text, {"Counted on 8,192 tokens of text.",
                            "3 different paths; the 1 most frequent are those of 50.0\u00a0% of "
                            "tokens.",
                            "<td>A0 · SKIP</td><td>50.0\u00a0%</td>", "62.5\u00a0% of choices",
                            "position 0\nA0 · A1'"});
}

TEST_F(Modules, WithoutAConfigModulesAreJustModules) {
  std::filesystem::remove(folder / "run/run.json");
  put(folder / "run/metrics.jsonl", "{\"step\":1,\"loss\":4}\n");
  test::expect_parts(section(), {"<h5>mha</h5>", "<td>M0 · M1</td>"});
}

TEST_F(Modules, TrainingIsShownHereAndNotAmongExperts) {
  write_loads({"layers.0.experts", "layers.1.body.mha", "layers.1.body.ffn"});
  const std::string text = section(), experts = expert_section({run()});
  EXPECT_EQ(count(text, "<figure class=loadmap>"), 2u);
  EXPECT_EQ(count(text, ">SKIP 20.0\u00a0%</text>"), 2u);
  EXPECT_EQ(count(text, "text-anchor=end>SKIP</text>"), 2u);
  EXPECT_EQ(count(text, "dropped"), 0u) << "nothing was";
  EXPECT_EQ(count(text, "class=line"), 4u);
  EXPECT_EQ(count(text, "<p class=key>"), 1u) << "what the colours mean";
  EXPECT_EQ(count(experts, "<figure class=loadmap>"), 1u);
  EXPECT_EQ(count(experts, "<figcaption>layers.0.experts</figcaption>"), 1u);
  EXPECT_EQ(count(experts, ">no-op 20.0\u00a0%</text>"), 1u);
  EXPECT_EQ(count(experts, ">dropped 0.0\u00a0%</text>"), 1u);
  write_loads({"layers.1.body.mha", "layers.1.body.ffn"});
  EXPECT_EQ(expert_section({run()}).find("Over training"), std::string::npos);
}

TEST_F(Modules, EveryElementOpenedIsClosed) {
  write_loads({"layers.1.body.mha", "layers.1.body.ffn"});
  const std::string text = section();
  for (const char* name : {"section", "table", "tr", "td", "th", "div", "p", "svg", "text",
                           "figure", "figcaption", "script", "span", "b", "i", "h3", "h4", "h5"}) {
    const std::regex open(concat("<", name, "[ >]"));
    const auto opened = std::distance(std::sregex_iterator(text.begin(), text.end(), open), {});
    EXPECT_GT(opened, 0) << name;
    EXPECT_EQ(static_cast<size_t>(opened), count(text, concat("</", name, ">"))) << name;
  }
  EXPECT_EQ(report_html({folder / "run"}).find("nan"), std::string::npos);
}

// Eight modules in sixteen rounds, every token another way: the page stays small.
TEST_F(Modules, ManyModulesAndRoundsStayOnePage) {
  Json routing = {{"step", 1}, {"tokens", Json::array()}, {"layers", Json::array()}};
  for (int t = 0; t < 160; ++t) routing["tokens"].push_back("token");
  for (int r = 0; r < 16; ++r) {
    Json choice = Json::array();
    for (int t = 0; t < 160; ++t) choice.push_back((t * (r + 3) + t / 9) % 9);
    for (const char* pool : {"mha", "ffn"})
      routing["layers"].push_back(layer_of(concat("layers.1.body.", pool, "#", r), 8, 1, choice));
  }
  put(folder / "run/routing.json", routing.dump());
  const std::string text = section();
  EXPECT_EQ(count(text, "<svg"), 2u);
  EXPECT_LT(text.size(), 1u << 20);
}

TEST_F(Modules, DamageIsToldByFileAndField) {
  const auto expect = [&](const Json& modules, const std::string& part) {
    Json routing = passage();
    routing["modules"] = modules;
    put(folder / "run/routing.json", routing.dump());
    try {
      run();
      ADD_FAILURE() << "read well, expected: " << part;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  Json modules = counted();
  modules["branches"][0]["rounds"] = 3;
  expect(modules, "routing.json, modules, branches[0]: share must have 3 x 3 entries but has 6");
  modules = counted();
  modules["branches"][0]["next"].push_back(0);
  expect(modules, "branches[0]: next must have 1 x 3 x 3 entries but has 10");
  modules = counted();
  modules["branches"][0]["paths"][0]["choice"] = {0, 3};
  expect(modules, "paths[0]: choice must hold -1 to 2 but has 3");
  modules["branches"][0]["paths"][0]["choice"] = {0};
  expect(modules, "paths[0]: choice must have 2 x 1 entries but has 1");
  modules = counted();
  modules["branches"][0].erase("top_k");
  expect(modules, "branches[0]: top_k must be 1 to ");
}

}  // namespace
}  // namespace pointwork
