#pragma once
// What people must know of experts' loads while a model trains.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pointwork {

struct ExpertLoads {
  std::string layer;
  std::vector<double> load;  // experts, then no-ops: choices before drops, as a ratio to the fair
                             // share of experts
  int64_t num_experts = 0;
};

struct ExpertAlarm {
  std::string layer;
  std::string text;  // one line, for people
  std::vector<int64_t> dead;
  double overrun = 0;  // load of the busiest expert; 0: within bounds
};

// Experts below kDeadLoad.
std::vector<int64_t> dead_experts(const ExpertLoads& loads);

// At most one a layer: of experts that are dead, and of one that is overrun. No-ops may have any
// load.
std::vector<ExpertAlarm> expert_alarms(const std::vector<ExpertLoads>& layers);

// Tells an alarm once, and again when experts die that were not told of or when the busiest has
// twice the load that was told. A layer that is well is forgotten.
class AlarmMemory {
 public:
  // The texts of `alarms`, all that are in force, that were not told yet.
  std::vector<std::string> news(const std::vector<ExpertAlarm>& alarms);

 private:
  std::map<std::string, ExpertAlarm> told_;  // by layer
};

}  // namespace pointwork
