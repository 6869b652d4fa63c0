#include "apps/figures.h"

#include <cmath>
#include <cstdio>

namespace pointwork::app {
namespace {

int64_t whole(double count) { return std::llround(count); }

Json phases(const PhaseFlops& flops) {
  return {{"forward", flops.forward}, {"train", flops.train}, {"decode", flops.decode}};
}

std::string scaled(double value, double base, const char* const* units, int count) {
  int unit = 0;
  while (value >= 0.9995 * base && unit + 1 < count) {
    value /= base;
    ++unit;
  }
  char text[48];
  std::snprintf(
      text, sizeof text,
      value >= 100 || (unit == 0 && value == static_cast<int64_t>(value)) ? "%.0f%s" : "%.3g%s",
      value, units[unit]);
  return text;
}

}  // namespace

Figures figures_of(const Model& model, const Model& twin, const Model* teacher) {
  const Config& config = model.config();
  const int64_t length = config.train.sequence_length, step = capacity_changes(config).back();
  const int64_t element = config.train.precision == Precision::bfloat16 ? 2 : 4;
  return {.length = length,
          .routed = model_flops(model, length, step),
          .dense = model_flops(twin, length, step),
          .kv_bytes = model.cached_bytes_per_token(step, element),
          .dense_kv_bytes = twin.cached_bytes_per_token(step, element),
          .memory = training_memory(model, teacher)};
}

Json to_json(const Figures& f) {
  Json json = {{"sequence_length", f.length},
               {"parameters", whole(f.routed.parameters)},
               {"active_parameters", whole(f.routed.active_parameters)},
               {"flops_per_token", phases(f.routed.expected)},
               {"dense_flops_per_token", phases(f.dense.expected)},
               {"bound", phases(f.routed.bound)},
               {"kv_bytes_per_token", f.kv_bytes},
               {"dense_kv_bytes_per_token", f.dense_kv_bytes},
               {"memory_bytes", whole(f.memory.total())},
               {"memory_parts",
                {{"weights", whole(f.memory.weights)},
                 {"optimizer", whole(f.memory.optimizer)},
                 {"activations", whole(f.memory.activations)},
                 {"head", whole(f.memory.head)},
                 {"teacher", whole(f.memory.teacher)},
                 {"slack", whole(f.memory.slack)},
                 {"library", whole(f.memory.library)}}}};
  if (f.measured) json["measured"] = phases(*f.measured);
  return json;
}

Json parts_json(const FlopParts& parts, double scale) {
  Json all = Json::array();
  for (const FlopPart& part : parts) {
    all.push_back({{"name", part.name},
                   {"flops", part.flops * scale},
                   {"parameters", whole(part.parameters)},
                   {"active_parameters", part.active}});
  }
  return all;
}

std::string in_units(double value) {
  static constexpr const char* kUnits[] = {"", " k", " M", " G", " T", " P", " E"};
  return scaled(value, 1000, kUnits, 7);
}

std::string in_bytes(double value) {
  static constexpr const char* kUnits[] = {" B", " KiB", " MiB", " GiB", " TiB"};
  return scaled(value, 1024, kUnits, 5);
}

}  // namespace pointwork::app
