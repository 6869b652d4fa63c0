#pragma once
// One list of fields per struct serves reading TOML, overrides, printing, help and docs/config.md.
//
//   struct ScheduleConfig {
//     int64_t warmup_steps = 100;
//     template <class Self, class Visitor>
//     static void fields(Self& self, Visitor& visit) {
//       visit("warmup_steps", self.warmup_steps, {.help = "linear warm-up", .unit = "steps"});
//     }
//   };
//
// A visitor is called with (name, value, Field). Types it meets: bool, int64_t, double,
// std::string, std::vector<std::string>, an enum with EnumNames, a nested struct with fields(), a
// std::optional of one (absent without its section), and the two special forms in model_config.h
// (LayersConfig, the map of BranchConfig).

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace pointwork {

struct Field {
  std::string_view help;
  std::string_view unit = "";
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;  // the minimum itself is excluded: (min, max]
  bool below_max = false;  // the maximum itself is excluded: [min, max)
  bool required = false;   // there is no default
};

// Specialised per enum: `static constexpr std::pair<const char*, E> names[]`, in the order shown to
// people.
template <class E>
struct EnumNames;

template <class E>
constexpr std::string_view name_of(E value) {
  for (const auto& [name, candidate] : EnumNames<E>::names) {
    if (candidate == value) return name;
  }
  return "?";
}

}  // namespace pointwork
