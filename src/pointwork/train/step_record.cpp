#include "pointwork/train/step_record.h"

#include <cmath>

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

Json to_json(const StepRecord& r) {
  Json json = {{"step", r.step},
               {"loss", number(r.loss)},
               {"learning_rate", r.learning_rate},
               {"grad_norm", number(r.grad_norm)},
               {"predictor_grad_norm", number(r.predictor_grad_norm)},
               {"skipped", r.skipped},
               {"tokens", static_cast<int64_t>(r.tokens)},
               {"flops", r.flops},
               {"seconds", r.seconds},
               {"tokens_per_second", r.tokens_per_second},
               {"mfu", number(r.mfu)},
               {"mfu_palm", number(r.mfu_palm)},
               {"peak_memory_bytes", r.peak_memory_bytes}};
  if (r.soft_loss) json["soft_loss"] = number(*r.soft_loss);
  if (r.teacher_loss) json["teacher_loss"] = number(*r.teacher_loss);
  if (r.gain_kept) json["gain_kept"] = number(*r.gain_kept);
  if (!r.inference || !r.training) return json;
  const RouteStats& decision = r.training->decision;
  json["validation_loss"] = number(r.inference->loss);
  json["validation_loss_training"] = number(r.training->loss);
  json["validation_bits_per_byte"] = number(r.inference->bits_per_byte);
  json["routed_share"] = number(r.inference->routed_share);
  json["agreement"] = number(decision.accuracy);
  json["precision"] = number(decision.precision);
  json["recall"] = number(decision.recall);
  json["layers"] = Json::array();
  for (const RouteStats& layer : r.training->layers) {
    json["layers"].push_back({{"layer", layer.name},
                              {"capacity", number(layer.selected_share)},
                              {"routed_share", selected_share_of(r.inference->layers, layer.name)},
                              {"router_mean", number(layer.router_mean)},
                              {"router_std", number(layer.router_std)},
                              {"agreement", number(layer.accuracy)},
                              {"precision", number(layer.precision)},
                              {"recall", number(layer.recall)}});
    if (layer.experts) json["layers"].back()["experts"] = experts_json(*layer.experts);
  }
  if (expert_loads(r.training->layers).empty()) return json;
  json["alarms"] = Json::array();
  for (const ExpertAlarm& alarm : r.alarms) json["alarms"].push_back(alarm.text);
  return json;
}

Json experts_json(const ExpertStats& stats) {
  Json load = Json::array();
  for (const double ratio : stats.load) load.push_back(number(ratio));
  return {
      {"num_experts", stats.num_experts},           {"load", load},
      {"max_load", number(stats.max_load)},         {"dead", stats.dead},
      {"load_entropy", number(stats.load_entropy)}, {"entropy", number(stats.entropy)},
      {"confidence", number(stats.confidence)},     {"dropped_share", number(stats.dropped_share)},
      {"noop_share", number(stats.noop_share)},     {"z", number(stats.z)}};
}

std::vector<ExpertLoads> expert_loads(const std::vector<RouteStats>& layers) {
  std::vector<ExpertLoads> all;
  for (const RouteStats& layer : layers) {
    if (layer.experts) all.push_back({layer.name, layer.experts->load, layer.experts->num_experts});
  }
  return all;
}

}  // namespace pointwork
