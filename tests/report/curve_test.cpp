#include "pointwork/report/curve.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pointwork/report/sections.h"
#include "tests/report/run_files.h"
#include "tests/support/data.h"

namespace pointwork {
namespace {

using test::RunFiles;
using test::TemporaryFolder;

RunFolder run_of(const RunFiles& how) {
  const TemporaryFolder folder;
  test::write_run(folder.path(), how);
  return read_run_folder(folder.path());
}

TEST(Curve, SmoothingKeepsAStraightLine) {
  RunFolder run;
  for (int s = 1; s <= 1000; ++s) {
    StepMetrics m;
    m.step = s;
    m.loss = 10 - 0.001 * s + (s % 2 ? 0.5 : -0.5);
    run.metrics.push_back(m);
  }
  const LossCurve curve = loss_curve(run, 100);
  EXPECT_EQ(curve.window, 41);
  ASSERT_EQ(curve.training.size(), 100u);
  EXPECT_EQ(curve.training.front().x[0], 1);
  EXPECT_EQ(curve.training.back().x[0], 1000);
  for (const CurvePoint& p : curve.training) {
    if (p.x[0] < 30 || p.x[0] > 970) continue;
    EXPECT_NEAR(p.loss, 10 - 0.001 * p.x[0], 0.5 / 41 + 1e-9) << p.x[0];
  }
}

TEST(Curve, UnknownLossesTakeNoPart) {
  RunFolder run;
  for (int s = 1; s <= 5; ++s) {
    StepMetrics m;
    m.step = s;
    m.loss = s == 3 ? kUnknown : 2;
    run.metrics.push_back(m);
  }
  const LossCurve curve = loss_curve(run, 100);
  ASSERT_EQ(curve.training.size(), 4u);
  for (const CurvePoint& p : curve.training) EXPECT_EQ(p.loss, 2);
  EXPECT_TRUE(curve.validation.empty());
  EXPECT_TRUE(loss_curve(RunFolder(), 10).training.empty());
}

TEST(Curve, ReadsBetweenPointsAndNotOutside) {
  const std::vector<CurvePoint> curve = {{{10, 0, 1}, 4}, {{20, 0, 2}, 2}};
  EXPECT_EQ(loss_at(curve, Axis::steps, 15), 3);
  EXPECT_EQ(loss_at(curve, Axis::seconds, 2), 2);
  EXPECT_TRUE(std::isnan(loss_at(curve, Axis::steps, 21)));
  EXPECT_TRUE(std::isnan(loss_at(curve, Axis::steps, kUnknown)));
}

TEST(Comparison, IsAtTheBudgetAllReached) {
  // dense: 100 steps of 2e10 FLOPs; mod has 200 of 1e10. At 2e12: 3 + 1 + 0.1 and 3 + 0.5 + 0.1.
  const Runs runs = {
      run_of({.name = "mod"}),
      run_of({.name = "dense", .routed = false, .steps = 100, .flops_per_token = 20e6})};
  EXPECT_EQ(reference_run(runs), 1u);
  const std::string text = equal_budget_text(runs);
  EXPECT_NE(text.find("At equal training FLOPs (2.00\u00a0TFLOP)"), std::string::npos) << text;
  EXPECT_NE(text.find("<b>3.600</b> against <b>4.100</b>"), std::string::npos) << text;
  EXPECT_NE(text.find("12.2\u00a0% lower, after 2.00 × the steps and 2.00 × the time"),
            std::string::npos)
      << text;
  // Both reach 50 s, after 100 steps: the same loss, half of the FLOPs.
  EXPECT_NE(text.find("At equal training time (50\u00a0s)"), std::string::npos) << text;
  EXPECT_NE(text.find("the same, after 1.00 × the steps and 0.50 × the FLOPs"), std::string::npos)
      << text;
}

TEST(Comparison, NeedsTheSameTokens) {
  Runs runs = {run_of({.name = "a"}), run_of({.name = "b"})};
  runs[1].facts->vocab_size = 1024;
  EXPECT_NE(equal_budget_text(runs).find("are not compared"), std::string::npos);
  EXPECT_EQ(equal_budget_text({runs[0]}), "");
  runs[1].facts->vocab_size = 512;
  runs[1].metrics.resize(10);  // no evaluation yet
  EXPECT_EQ(equal_budget_text(runs), "");
}

}  // namespace
}  // namespace pointwork
