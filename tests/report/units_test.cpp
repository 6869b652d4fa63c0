#include "pointwork/report/units.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pointwork {
namespace {

// The page's spaces within a quantity do not break; here they read as spaces.
std::string plain(std::string text) {
  for (size_t at; (at = text.find("\u00a0")) != std::string::npos;) text.replace(at, 2, " ");
  return text;
}

TEST(Units, ThreeDigitsAndAPrefix) {
  EXPECT_EQ(plain(with_prefix(0)), "0");
  EXPECT_EQ(plain(with_prefix(999)), "999");
  EXPECT_EQ(plain(with_prefix(0.8)), "0.80");
  EXPECT_EQ(plain(with_prefix(999.9)), "1.00 k");
  EXPECT_EQ(plain(with_prefix(12345)), "12.3 k");
  EXPECT_EQ(plain(with_prefix(81.84e6)), "81.8 M");
  EXPECT_EQ(plain(with_prefix(9.996e6)), "10.0 M");
  EXPECT_EQ(plain(flop_text(8e12)), "8.00 TFLOP");
  EXPECT_EQ(plain(byte_text(1.9 * (1 << 30))), "1.90 GiB");
  EXPECT_EQ(plain(byte_text(512)), "512 bytes");
}

TEST(Units, UnknownIsADash) {
  for (const double x : {std::nan(""), static_cast<double>(INFINITY)}) {
    EXPECT_EQ(with_prefix(x), "–");
    EXPECT_EQ(fixed(x, 2), "–");
    EXPECT_EQ(percent(x, 1), "–");
    EXPECT_EQ(flop_text(x), "–");
    EXPECT_EQ(elapsed_text(x), "–");
    EXPECT_EQ(integer_text(x), "–");
  }
}

TEST(Units, SignsAreTrueAndZeroHasNone) {
  EXPECT_EQ(fixed(-0.43, 2), "−0.43");
  EXPECT_EQ(fixed(-0.001, 2), "0.00");
  EXPECT_EQ(integer_text(1234567), "1,234,567");
  EXPECT_EQ(integer_text(-1234), "−1,234");
  EXPECT_EQ(integer_text(-123), "−123");
  EXPECT_EQ(integer_text(0), "0");
}

TEST(Units, Durations) {
  EXPECT_EQ(plain(elapsed_text(0.0812)), "81.2 ms");
  EXPECT_EQ(plain(elapsed_text(4.26)), "4.3 s");
  EXPECT_EQ(plain(elapsed_text(59.7)), "1 min");
  EXPECT_EQ(plain(elapsed_text(125)), "2 min 5 s");
  EXPECT_EQ(plain(elapsed_text(12000)), "3 h 20 min");
  EXPECT_EQ(plain(elapsed_text(86400 * 2 + 3600)), "2 d 1 h");
}

std::string axis(Quantity quantity, double high) {
  const auto ticks = axis_ticks(quantity, 0, high, 4);
  std::string out;
  for (const double tick : ticks) {
    out += (out.empty() ? "" : ", ") + plain(tick_text(quantity, tick, ticks.at(1) - ticks[0]));
  }
  return out;
}

TEST(Units, AxesHaveRoundTicks) {
  EXPECT_EQ(axis(Quantity::steps, 310), "0, 100, 200, 300");
  EXPECT_EQ(axis(Quantity::steps, 5000), "0, 2 k, 4 k");
  EXPECT_EQ(axis(Quantity::steps, 3), "0, 1, 2, 3");
  EXPECT_EQ(axis(Quantity::flops, 4e13), "0, 10 TFLOP, 20 TFLOP, 30 TFLOP, 40 TFLOP");
  EXPECT_EQ(axis(Quantity::seconds, 25), "0, 10 s, 20 s");
  EXPECT_EQ(axis(Quantity::seconds, 480), "0, 2 min, 4 min, 6 min, 8 min");
  EXPECT_EQ(axis(Quantity::seconds, 100), "0, 30 s, 1 min, 1 min 30 s");
  EXPECT_EQ(axis(Quantity::seconds, 20 * 3600), "0, 6 h, 12 h, 18 h");
  EXPECT_EQ(axis(Quantity::seconds, 86400 * 9), "0, 5 d");
  EXPECT_EQ(axis(Quantity::plain, 1.7), "0.0, 0.5, 1.0, 1.5");
}

TEST(Units, TicksLieInside) {
  for (double high = 1e-6; high < 1e20; high *= 3.7) {
    for (const auto q : {Quantity::steps, Quantity::flops, Quantity::seconds, Quantity::plain}) {
      const auto ticks = axis_ticks(q, 0.3 * high, high, 5);
      EXPECT_LE(ticks.size(), 7u) << high;
      for (const double tick : ticks) {
        EXPECT_GE(tick, 0.3 * high * (1 - 1e-6));
        EXPECT_LE(tick, high * (1 + 1e-6));
      }
    }
  }
}

}  // namespace
}  // namespace pointwork
