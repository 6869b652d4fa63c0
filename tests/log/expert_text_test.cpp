#include "pointwork/log/expert_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "pointwork/base/check.h"
#include "pointwork/log/terminal.h"

namespace pointwork {
namespace {

TEST(ExpertText, ALineATokenAndAColumnALayer) {
  EXPECT_EQ(expert_text({"layers.1.experts", "layers.13.experts"},
                        {{"The", {{3}, {11}}}, {" fox", {{0}, {-1}}}, {"\n", {{}, {}}}}, 80),
            "experts chosen in layers.*.experts (· no-op or dropped, - not run)\n"
            "      1  13\n"
            "The   3  11\n"
            " fox  0   ·\n"
            "↵     -   -");
}

TEST(ExpertText, SeveralChoicesStandTogether) {
  EXPECT_EQ(expert_text({"layers.1"}, {{"a", {{3, 12}}}, {"b", {{-1, 7}}}}, 80),
            "experts chosen in layers.1 (· no-op or dropped, - not run)\n"
            "a  3,12\n"
            "b   ·,7");
}

TEST(ExpertText, HeadingsAreWhatTellsNamesApart) {
  const auto heading = [](const std::vector<std::string>& layers) {
    std::istringstream lines(expert_text(layers, {}, 80));
    std::string title, line;
    std::getline(lines, title);
    std::getline(lines, line);
    return title.substr(0, title.find(" (")) + "|" + line;
  };
  EXPECT_EQ(heading({"layers.0.of.1", "layers.0.of.2"}), "experts chosen in layers.0.of.*|   1  2");
  EXPECT_EQ(heading({"layers.0", "layers.0.inner"}), "experts chosen in layers.*|   0  0.inner");
}

TEST(ExpertText, RoundsShareAColumn) {
  const std::vector<std::string> layers = {"layers.1.body.mha", "layers.1.body.ffn",
                                           "layers.1.body.mha#1", "layers.1.body.ffn#1"};
  EXPECT_EQ(expert_text(layers,
                        {{"The", {{0}, {3}, {2}, {-1}}},
                         {" fox", {{-1}, {1}, {-1}, {0}}},
                         {"\n", {{}, {}, {}, {}}}},
                        80),
            "experts chosen in layers.1.body.*, round by round (· no-op or dropped, - not run)\n"
            "      mha  ffn\n"
            "The    02   3·\n"
            " fox   ··   10\n"
            "↵      --   --");
  // Spaces where one is wider than a digit, in all lines; a round that is not there was not run.
  EXPECT_EQ(expert_text({"mha", "mha#2"}, {{"a", {{0, 1}, {2, -1}}}, {"b", {{}, {3}}}}, 80),
            "experts chosen in mha, round by round (· no-op or dropped, - not run)\n"
            "a  0,1   - 2,·\n"
            "b    -   -   3");
  EXPECT_EQ(expert_text({"mha", "mha#1"}, {{"a", {{0}, {11}}}, {"b", {{1}, {-1}}}}, 80),
            "experts chosen in mha, round by round (· no-op or dropped, - not run)\n"
            "a   0 11\n"
            "b   1  ·");
}

// The rounds of a model as deep as the paper's fit into 100 columns.
TEST(ExpertText, EightRoundsOfTwoPoolsInTwoBlocksFit) {
  std::vector<std::string> layers;
  TokenExperts token{"a token that is far too long", {}};
  for (const char* block : {"layers.1", "layers.3"}) {
    for (int round = 0; round < 8; ++round) {
      for (const char* pool : {".body.mha", ".body.ffn"}) {
        layers.push_back(concat(block, pool, round > 0 ? concat("#", round) : ""));
        token.choice.push_back({round});
      }
    }
  }
  std::istringstream lines(expert_text(layers, {token}, 100));
  std::vector<std::string> all;
  for (std::string line; std::getline(lines, line);) all.push_back(line);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[2], "a token that is…    01234567    01234567    01234567    01234567");
}

TEST(ExpertText, NarrowTerminalsGetFurtherTables) {
  std::vector<std::string> layers;
  TokenExperts token{"token", {}}, wide{"a token that is far too long", {}};
  for (int l = 0; l < 12; ++l) {
    layers.push_back(concat("layers.", l, ".experts"));
    token.choice.push_back({l, 64 + l});
    wide.choice.push_back({l});
  }
  const std::string text = expert_text(layers, {token, wide}, 40);
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);  // the title may wrap
  size_t tables = 1, shown = 0;
  while (std::getline(lines, line)) {
    EXPECT_LE(display_width(line), 40) << line;
    tables += line.empty();
    shown += line.rfind("token", 0) == 0 ? std::count(line.begin(), line.end(), ',') : 0;
  }
  EXPECT_EQ(shown, 12u);
  EXPECT_EQ(tables, 4u);  // 16 for the token, then at most 3 layers of 2 + 5
  EXPECT_NE(text.find("a token that is…"), std::string::npos);
}

TEST(ExpertText, NothingSteersTheTerminal) {
  const std::string text = expert_text({"layers.1"}, {{"\x1b[2J\r\xFF", {{1}}}}, 80);
  EXPECT_NE(text.find("␛[2J␍\uFFFD  1"), std::string::npos);
  EXPECT_EQ(expert_text({}, {{"a", {}}}, 80), "");
}

}  // namespace
}  // namespace pointwork
