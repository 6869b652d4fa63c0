#include "pointwork/train/step_record.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pointwork {
namespace {

ExpertStats experts() {
  return {.load = {0.5, 3.5, 0, 0, 1},
          .num_experts = 4,
          .max_load = 3.5,
          .dead = 2,
          .load_entropy = 0.25,
          .entropy = 0.75,
          .confidence = 0.5,
          .dropped_share = 0.125,
          .noop_share = 0.2,
          .z = NAN};
}

StepRecord evaluated(std::vector<RouteStats> layers) {
  StepRecord record{.step = 7};
  record.training = Evaluation{.layers = std::move(layers)};
  record.inference = record.training;
  return record;
}

TEST(StepRecord, TellsOfExperts) {
  StepRecord record = evaluated({{.name = "layers.0"}, {.name = "layers.1", .experts = experts()}});
  record.alarms = expert_alarms(expert_loads(record.training->layers));
  const auto json = to_json(record);
  EXPECT_FALSE(json["layers"][0].contains("experts"));
  EXPECT_EQ(json["layers"][1]["experts"].dump(),
            R"({"num_experts":4,"load":[0.5,3.5,0.0,0.0,1.0],"max_load":3.5,"dead":2,)"
            R"("load_entropy":0.25,"entropy":0.75,"confidence":0.5,"dropped_share":0.125,)"
            R"("noop_share":0.2,"z":null})");
  EXPECT_EQ(json["alarms"].dump(),
            R"(["layers.1: 2 of 4 experts get less than 1 % of their share (2, 3); )"
            R"(the busiest, expert 1, gets 3.5 x its share"])");
}

TEST(StepRecord, WithoutExpertsOrEvaluationThereAreNoAlarms) {
  EXPECT_FALSE(to_json(evaluated({{.name = "layers.0"}})).contains("alarms"));
  EXPECT_FALSE(to_json(StepRecord{.step = 7}).contains("alarms"));
  ExpertStats even = experts();
  even.load = {1, 1, 1, 1, 0};
  EXPECT_EQ(to_json(evaluated({{.name = "layers.1", .experts = even}}))["alarms"].dump(), "[]");
}

}  // namespace
}  // namespace pointwork
