#include "pointwork/log/expert_alarm.h"

#include <gtest/gtest.h>

namespace pointwork {
namespace {

std::string alarm_of(std::vector<double> load, int64_t experts) {
  const auto all = expert_alarms({{"layers.3.experts", std::move(load), experts}});
  EXPECT_LE(all.size(), 1u);
  return all.empty() ? "" : all[0].text;
}

TEST(ExpertAlarm, NamesTheDeadAndTheBusiest) {
  EXPECT_EQ(
      alarm_of({0.5, 5.1, 1.2, 0.009, 0.6, 0.3, 0.29, 0}, 8),
      "layers.3.experts: 2 of 8 experts get less than 1 % of their share (3, 7); the busiest, "
      "expert 1, gets 5.1 x its share");
  EXPECT_EQ(alarm_of({1.5, 0.001, 1.5}, 3),
            "layers.3.experts: 1 of 3 experts gets less than 1 % of its share (1)");
  EXPECT_EQ(alarm_of({3.25, 0.25, 0.25, 0.25}, 4),
            "layers.3.experts: expert 0 gets 3.2 x its share");
}

TEST(ExpertAlarm, IsSilentWithinTheBounds) {
  EXPECT_EQ(alarm_of({3, 0.01, 0.9, 0.09}, 4), "");
  EXPECT_EQ(alarm_of({1}, 1), "");
  EXPECT_EQ(alarm_of({1, 1, 9, 0}, 2), "") << "the last two are no-ops";
  EXPECT_TRUE(expert_alarms({}).empty());
}

TEST(ExpertAlarm, NamesNotMoreThanALineHolds) {
  std::vector<double> load(64, 0);
  load[5] = load[6] = load[7] = load[8] = 16;
  EXPECT_EQ(
      alarm_of(load, 64),
      "layers.3.experts: 60 of 64 experts get less than 1 % of their share (0, 1, 2, 3, 4, 9, "
      "10, 11, …); the busiest, expert 5, gets 16.0 x its share");
}

TEST(ExpertAlarm, IsToldAgainOnlyWhenItChanged) {
  AlarmMemory memory;
  const auto news = [&](double a, double b) {
    return memory.news(expert_alarms({{"a", {a, 1, 1, 1, 1}, 5}, {"b", {b, 1, 1, 1, 1}, 5}}))
        .size();
  };
  EXPECT_EQ(news(0, 1), 1u);  // a: one dead
  EXPECT_EQ(news(0, 1), 0u);
  EXPECT_EQ(news(0, 3.5), 1u);  // b: overrun
  EXPECT_EQ(news(0.002, 4.9), 0u);
  EXPECT_EQ(news(0, 6.9), 0u);
  EXPECT_EQ(news(0, 7), 1u);  // b: twice as far as was told
  EXPECT_EQ(news(1, 7), 0u);  // a is well …
  EXPECT_EQ(news(0, 7), 1u);  // … and dead anew
}

TEST(ExpertAlarm, ExpertsThatDieByTurnsAreToldOnce) {
  AlarmMemory memory;
  const auto news = [&](std::vector<double> load) {
    return memory.news(expert_alarms({{"a", std::move(load), 4}})).size();
  };
  EXPECT_EQ(news({0, 1, 1, 1}), 1u);
  EXPECT_EQ(news({1, 0, 1, 1}), 1u);
  EXPECT_EQ(news({0, 1, 1, 1}), 0u);
  EXPECT_EQ(news({0, 0, 1, 1}), 0u);
  EXPECT_EQ(news({0, 0, 0, 4}), 1u);
}

}  // namespace
}  // namespace pointwork
