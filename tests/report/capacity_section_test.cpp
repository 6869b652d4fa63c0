#include <gtest/gtest.h>

#include "pointwork/report/sections.h"
#include "pointwork/report/units.h"

namespace pointwork::test {
namespace {

// Evaluations every 10 steps at these capacities; the loss is 3 + what is left of the capacity.
RunFolder run_at(const std::vector<double>& capacities) {
  RunFolder run;
  run.name = "smaller";
  double step = 0;
  for (const double capacity : capacities) {
    StepMetrics m;
    m.step = step += 10;
    m.validation_loss = 4 - capacity;
    m.validation_loss_training = 3.9 - capacity;
    m.layers = {{.name = "layers.1", .capacity = capacity},
                {.name = "layers.3", .capacity = capacity}};
    run.metrics.push_back(m);
  }
  return run;
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST(CapacitySection, IsThereWhereACapacityMoved) {
  EXPECT_EQ(capacity_section({run_at({0.125, 0.125, 0.125})}), "");
  EXPECT_EQ(capacity_section({run_at({})}), "");
  const std::string page = capacity_section({run_at({0.125, 0.125}), run_at({1, 0.5, 0.25})});
  EXPECT_EQ(count(page, "class=dot"), 3u);
  EXPECT_EQ(count(page, "class=ring"), 3u);
  EXPECT_EQ(count(page, "<g class='run c1'>"), 1u);
  EXPECT_EQ(count(page, "<g class='run c0'>"), 0u);
  EXPECT_NE(page.find("<title>step 20: " + percent(0.5, 1) + ", loss 3.5000</title>"),
            std::string::npos);
  // From a full capacity on the left, at the frame's edge, to none on the right.
  EXPECT_NE(page.find("<path class=line d='M36 "), std::string::npos);
  EXPECT_NE(page.find("cx='318'"), std::string::npos);
}

// Layers of token choice have no capacity that anyone moved.
TEST(CapacitySection, LeavesExpertsOut) {
  RunFolder run = run_at({1, 0.5});
  for (StepMetrics& m : run.metrics)
    for (LayerMetrics& layer : m.layers) layer.experts.emplace();
  EXPECT_EQ(capacity_section({run}), "");
}

}  // namespace
}  // namespace pointwork::test
