#include "pointwork/log/routing_text.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pointwork/log/terminal.h"
#include "tests/log/capture.h"

namespace pointwork {
namespace {

std::string without_legend(const std::string& text) { return text.substr(0, text.rfind('\n')); }
std::string plain(const std::vector<TokenShare>& tokens) {
  return without_legend(routing_text(tokens, false));
}
std::string colour(const std::vector<TokenShare>& tokens) {
  return without_legend(routing_text(tokens, true));
}
std::string without(std::string text, const std::string& start, const std::string& end) {
  for (size_t at = text.find(start); at != std::string::npos; at = text.find(start, at)) {
    text.erase(at, text.find(end, at) + end.size() - at);
  }
  return text;
}
std::string without_colour(const std::string& text) { return without(text, "\x1b[", "m"); }

TEST(RoutingText, PlainMarksFollowTheirTokens) {
  EXPECT_EQ(plain({{"In", 1}, {" the", 0}, {" beginning", 0.5}, {".", NAN}}),
            "In₉ the₀ beginning₅.₋");
  EXPECT_EQ(plain({}), "");
  EXPECT_EQ(plain({{"", 1}, {"a", 7}}), "a₉");
}

TEST(RoutingText, PlainMarksStayOnTheirLine) {
  EXPECT_EQ(plain({{"end.\n", 1}, {"\n", 0}, {"\n\nNew", 0}}), "end.₉\n₀\n\n\nNew₀");
}

TEST(RoutingText, SplitCharactersAreWhole) {
  // "x€y" cut after x and within the three bytes of the euro sign.
  const std::vector<TokenShare> tokens = {{"x\xE2", 0}, {"\x82", 1}, {"\xACy", 0.5}};
  EXPECT_EQ(plain(tokens), "x€₀₉y₅");
  EXPECT_EQ(colour(tokens),
            coloured("x", kShareRamp[0]) + coloured("€y", kShareRamp[4]));  // the mean is 0.5
}

TEST(RoutingText, ColoursFollowShares) {
  const std::string text = colour({{"a", 0}, {"b", 0}, {"c", 1}, {"d", NAN}, {"e\nf", 1}});
  EXPECT_EQ(text, coloured("ab", kShareRamp.front()) + coloured("c", kShareRamp.back()) + "d" +
                      coloured("e", kShareRamp.back()) + "\n" + coloured("f", kShareRamp.back()));
}

TEST(RoutingText, NothingSteersTheTerminal) {
  const std::vector<TokenShare> tokens = {
      {"a\x1b[2Jb\r\x07\x7F", 1}, {"\xC2\x9B", 1}, {"\xFF\xE2\x82", 1}, {"z\t\n", 1}};
  const std::string expected = "a␛[2Jb␍␇␡\uFFFD\uFFFD\uFFFD\uFFFDz\t\n";
  EXPECT_EQ(without_colour(colour(tokens)), expected);
  EXPECT_EQ(without(plain(tokens), "₉", "₉"), expected);
}

TEST(RoutingText, LegendSaysWhatItMeans) {
  const std::string text = routing_text({{"a", 0}}, true);
  for (const int step : kShareRamp) {
    EXPECT_NE(text.find("38;5;" + std::to_string(step) + "m", text.find('\n')), std::string::npos);
  }
  EXPECT_NE(without_colour(text).find("share of routed blocks taken: none"), std::string::npos);
  const std::string bare = routing_text({{"a", 0}}, false);
  EXPECT_EQ(bare.find('\x1b'), std::string::npos);
  EXPECT_NE(bare.find("₀ none … ₉ all"), std::string::npos);
}

// WCAG 2.2: (lighter + 0.05) / (darker + 0.05) of relative luminances.
TEST(RoutingText, RampIsReadableOnBlackAndWhite) {
  const auto linear = [](int level) {
    const double v = level / 255.0;
    return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  };
  for (const int index : kShareRamp) {
    int red, green, blue;
    if (index >= 232) {
      red = green = blue = 8 + 10 * (index - 232);
    } else {
      constexpr int kLevels[] = {0, 95, 135, 175, 215, 255};
      red = kLevels[(index - 16) / 36];
      green = kLevels[(index - 16) / 6 % 6];
      blue = kLevels[(index - 16) % 6];
    }
    const double luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    EXPECT_GE(1.05 / (luminance + 0.05), 3) << index;
    EXPECT_GE((luminance + 0.05) / 0.05, 3) << index;
  }
}

}  // namespace
}  // namespace pointwork
