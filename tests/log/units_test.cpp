#include "pointwork/log/units.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pointwork {
namespace {

TEST(Units, CountsKeepThreeDigits) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(7), "7");
  EXPECT_EQ(count_text(7.5), "7.50");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(999.6), "1.00k");
  EXPECT_EQ(count_text(18400), "18.4k");
  EXPECT_EQ(count_text(999949), "1.00M");
  EXPECT_EQ(count_text(123456), "123k");
  EXPECT_EQ(count_text(9.996e9), "10.0G");
  EXPECT_EQ(count_text(3e21), "3000E");
  EXPECT_EQ(count_text(-1234), "-1.23k");
  EXPECT_EQ(count_text(NAN), "nan");
  EXPECT_EQ(count_text(-INFINITY), "-inf");
}

TEST(Units, Bytes) {
  EXPECT_EQ(bytes_text(512), "512 B");
  EXPECT_EQ(bytes_text(1024), "1.0 KiB");
  EXPECT_EQ(bytes_text(1.9 * (1 << 30)), "1.9 GiB");
  EXPECT_EQ(bytes_text(123.4 * (1 << 20)), "123 MiB");
  EXPECT_EQ(bytes_text(1023.9 * 1024), "1.0 MiB");
}

TEST(Units, Durations) {
  EXPECT_EQ(duration_text(0), "0 ms");
  EXPECT_EQ(duration_text(0.0449), "45 ms");
  EXPECT_EQ(duration_text(0.9996), "1.0 s");
  EXPECT_EQ(duration_text(3.21), "3.2 s");
  EXPECT_EQ(duration_text(9.96), "10 s");
  EXPECT_EQ(duration_text(89), "89 s");
  EXPECT_EQ(duration_text(170), "3 min");
  EXPECT_EQ(duration_text(59 * 60 + 45), "1 h");
  EXPECT_EQ(duration_text(7500), "2 h 5 min");
  EXPECT_EQ(duration_text(48 * 3600), "2 d");
  EXPECT_EQ(duration_text(100 * 3600), "4 d 4 h");
  EXPECT_EQ(duration_text(1e30), "31688E years");
  EXPECT_EQ(duration_text(-1), "?");
  EXPECT_EQ(duration_text(NAN), "?");
  EXPECT_EQ(duration_text(INFINITY), "?");
}

TEST(Units, FlopsRatesAndShares) {
  EXPECT_EQ(flops_text(12.3e9), "12.3 GFLOP");
  EXPECT_EQ(flops_text(512), "512 FLOP");
  EXPECT_EQ(flops_text(1e13), "10.0 TFLOP");
  EXPECT_EQ(scientific_text(2.9e-4), "2.9e-4");
  EXPECT_EQ(scientific_text(1e-3), "1.0e-3");
  EXPECT_EQ(scientific_text(3e-12), "3.0e-12");
  EXPECT_EQ(scientific_text(25), "2.5e1");
  EXPECT_EQ(scientific_text(0), "0");
  EXPECT_EQ(scientific_text(NAN), "nan");
  EXPECT_EQ(percent_text(0.126, 1), "12.6 %");
  EXPECT_EQ(percent_text(0.61, 0), "61 %");
  EXPECT_EQ(rate_text(18400, "tok"), "18.4k tok/s");
  EXPECT_EQ(rate_text(1.5 * (1 << 20), "B"), "1.5 MiB/s");
  EXPECT_EQ(amount_text(2000, "sequences"), "2.00k sequences");
}

}  // namespace
}  // namespace pointwork
