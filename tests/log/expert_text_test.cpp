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
  EXPECT_EQ(heading({"layers.0.of.1#1", "layers.0.of.1#2"}),
            "experts chosen in layers.0.of.1*|   #1  #2");
  EXPECT_EQ(heading({"layers.0.of.1", "layers.0.of.2"}), "experts chosen in layers.0.of.*|   1  2");
  EXPECT_EQ(heading({"layers.0", "layers.0.inner"}), "experts chosen in layers.*|   0  0.inner");
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
