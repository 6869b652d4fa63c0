#include "pointwork/log/expert_alarm.h"

#include <algorithm>
#include <cstdio>

#include "pointwork/base/check.h"
#include "pointwork/base/expert_load.h"

namespace pointwork {
namespace {

constexpr size_t kMostNamed = 8;

std::string list_of(const std::vector<int64_t>& experts) {
  std::string text;
  for (size_t i = 0; i < experts.size() && i < kMostNamed; ++i)
    text += (i ? ", " : "") + std::to_string(experts[i]);
  return experts.size() > kMostNamed ? text + ", …" : text;
}

std::string times(double load) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f x", load);
  return text;
}

}  // namespace

std::vector<int64_t> dead_experts(const ExpertLoads& loads) {
  std::vector<int64_t> dead;
  for (int64_t e = 0; e < loads.num_experts; ++e) {
    if (loads.load[static_cast<size_t>(e)] < kDeadLoad) dead.push_back(e);
  }
  return dead;
}

std::vector<ExpertAlarm> expert_alarms(const std::vector<ExpertLoads>& layers) {
  std::vector<ExpertAlarm> alarms;
  for (const ExpertLoads& layer : layers) {
    const auto begin = layer.load.begin();
    const auto busiest = std::max_element(begin, begin + layer.num_experts);
    const bool busy = layer.num_experts > 0 && *busiest > kBusyLoad;
    const std::vector<int64_t> dead = dead_experts(layer);
    if (dead.empty() && !busy) continue;
    ExpertAlarm alarm{.layer = layer.layer,
                      .text = layer.layer + ": ",
                      .dead = dead,
                      .overrun = busy ? *busiest : 0};
    if (!dead.empty()) {
      alarm.text += concat(dead.size(), " of ", layer.num_experts,
                           dead.size() > 1 ? " experts get" : " experts gets", " less than 1 % of ",
                           dead.size() > 1 ? "their" : "its", " share (", list_of(dead), ")");
    }
    if (busy) {
      alarm.text += concat(dead.empty() ? "expert " : "; the busiest, expert ", busiest - begin,
                           dead.empty() ? " gets " : ", gets ", times(*busiest), " its share");
    }
    alarms.push_back(std::move(alarm));
  }
  return alarms;
}

std::vector<std::string> AlarmMemory::news(const std::vector<ExpertAlarm>& alarms) {
  std::vector<std::string> texts;
  std::map<std::string, ExpertAlarm> now;
  for (const ExpertAlarm& alarm : alarms) {
    ExpertAlarm told = told_[alarm.layer];
    const size_t before = told.dead.size();
    for (const int64_t expert : alarm.dead) {
      if (std::find(told.dead.begin(), told.dead.end(), expert) == told.dead.end())
        told.dead.push_back(expert);
    }
    // Early in training experts die and wake by turns; the same ones again are no news.
    if (told.dead.size() > before || (alarm.overrun > 0 && alarm.overrun >= 2 * told.overrun)) {
      texts.push_back(alarm.text);
      told.overrun = std::max(told.overrun, alarm.overrun);
    }
    now[alarm.layer] = told;
  }
  told_ = std::move(now);
  return texts;
}

}  // namespace pointwork
