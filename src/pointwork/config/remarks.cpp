#include <set>

#include "pointwork/config/config.h"
#include "pointwork/config/grammar.h"

namespace pointwork {
namespace {

class Observer {
 public:
  explicit Observer(const Config& config) : config_(config) {}

  std::vector<std::string> run() {
    unused();
    for (const auto& [name, branch] : config_.branch) {
      const std::string path = "branch." + name;
      if (const auto* attention = std::get_if<AttentionConfig>(&branch.form))
        one_attention(path, *attention);
      if (const auto* routed = std::get_if<RoutedConfig>(&branch.form))
        one_route(path + ".route", routed->route);
    }
    schedule();
    checkpoints();
    distillation();
    return std::move(remarks_);
  }

 private:
  template <class... Parts>
  void remark_if(bool holds, const Parts&... parts) {
    if (holds) remarks_.push_back(concat(parts...));
  }

  void use(const std::string& name) {
    const auto found = config_.branch.find(name);
    if (found == config_.branch.end() || !used_.insert(name).second) return;
    for (const std::string& child : children_of(found->second)) use(child);
  }

  void unused() {
    for (const std::string& name : layer_names(config_.model)) use(name);
    for (const auto& [name, branch] : config_.branch)
      remark_if(!used_.count(name), "branch.", name, " is used by no layer");
  }

  void one_attention(const std::string& path, const AttentionConfig& a) {
    const bool rotated = a.rope_theta > 0;
    remark_if(!rotated && a.partial_rotary_factor != AttentionConfig{}.partial_rotary_factor, path,
              ".partial_rotary_factor has no effect without rope_theta");
    remark_if(!rotated && a.rope_scaling.kind != RopeScalingKind::none, path,
              ".rope_scaling has no effect without rope_theta");
    remark_if(!rotated && config_.model.position_embedding == PositionEmbedding::none, path,
              " sees no positions: rope_theta is 0, and model.position_embedding is none");
    if (!a.projection_route) return;
    const ProjectionRouteConfig &r = *a.projection_route, usual;
    const std::string route = path + ".projection_route";
    token_choice(route, r);
    remark_if(r.num_noop == 0 && r.noop_key_value != usual.noop_key_value, route,
              ".noop_key_value has no effect while num_noop is 0");
    remark_if(r.top_k == 1 && r.top_k_start < 2 && r.weight == RouterWeight::none && r.weighted_qkv,
              route, ".weighted_qkv has no effect with weight = \"none\"");
  }

  void one_route(const std::string& path, const RouteConfig& r) {
    if (r.by_token())
      token_choice(path, r);
    else
      depth_choice(path, r);
  }

  void token_choice(const std::string& path, const RouteConfig& r) {
    const TokenChoiceConfig usual;
    const bool per_sequence = r.capacity_per_sequence > 0;
    const bool no_factors = r.dropless || per_sequence;
    const char* why = r.dropless ? "dropless = true" : "capacity_per_sequence";
    remark_if(r.dropless && per_sequence, path,
              ".capacity_per_sequence has no effect with dropless = true");
    remark_if(no_factors && r.capacity_factor != usual.capacity_factor, path,
              ".capacity_factor has no effect with ", why);
    remark_if(no_factors && r.min_capacity != usual.min_capacity, path,
              ".min_capacity has no effect with ", why);
    remark_if(no_factors && r.capacity_rounding != usual.capacity_rounding, path,
              ".capacity_rounding has no effect with ", why);
    remark_if(r.dropless && r.priority != usual.priority, path,
              ".priority has no effect with dropless = true");
    remark_if(r.num_noop == 0 && r.noop != usual.noop, path,
              ".noop has no effect while num_noop is 0");
    remark_if(r.second_choice == SecondChoice::all && r.second_threshold != usual.second_threshold,
              path, ".second_threshold has no effect with second_choice = \"all\"");
    remark_if(r.target_active == 0 && r.target_rate != usual.target_rate, path,
              ".target_rate has no effect without target_active");
    remark_if(r.exploration_amount != usual.exploration_amount &&
                  (r.exploration == Exploration::none || r.exploration == Exploration::sample),
              path, ".exploration_amount has no effect with exploration = \"",
              name_of(r.exploration), "\"");
    remark_if(r.router == RouterKind::linear && r.router_size != RouterConfig{}.router_size, path,
              ".router_size has no effect with router = \"linear\"");
    remark_if(r.in_order_steps == 0 && r.in_order_bias != RouterConfig{}.in_order_bias, path,
              ".in_order_bias has no effect while in_order_steps is 0");
    remark_if((r.top_k_start > r.top_k) != (r.top_k_steps > 0), path,
              ".top_k_start and top_k_steps need each other to have an effect");
    remark_if(r.choices() == 1, path,
              " has one expert and nothing else to choose: its tokens all take it");
    remark_if(r.weight == RouterWeight::none && r.balance == BalanceConfig{.loss_weight = 0}, path,
              ": nothing trains the router: weight = \"none\" lets no gradient through, and no "
              "balance loss has a weight");
  }

  void depth_choice(const std::string& path, const RouteConfig& r) {
    const RouteConfig usual;
    const CapacityScheduleConfig &s = r.capacity_schedule, &s0 = usual.capacity_schedule;
    const int64_t steps = config_.train.steps;
    const bool expert = r.choice == ChoiceKind::expert;
    remark_if(r.weight != RouterWeight::tanh && r.tanh_alpha != usual.tanh_alpha, path,
              ".tanh_alpha has no effect without weight = \"tanh\"");
    remark_if(!expert && r.decode != usual.decode, path,
              ".decode has no effect without choice = \"expert\"");
    remark_if((!expert || r.decode != CausalDecision::router) &&
                  r.decode_loss_weight != usual.decode_loss_weight,
              path,
              ".decode_loss_weight has no effect without choice = \"expert\" and decode = "
              "\"router\"");
    remark_if(r.choice != ChoiceKind::threshold && r.threshold_rate != usual.threshold_rate, path,
              ".threshold_rate has no effect without choice = \"threshold\"");
    remark_if(
        r.choice == ChoiceKind::random && r.initializer_range != usual.initializer_range, path,
        ".initializer_range has no effect with choice = \"random\", which has no router weights");
    remark_if(s.steps == 0 && (s.start != s0.start || s.values != s0.values), path,
              ".capacity_schedule has no effect while its steps is 0");
    remark_if(steps > 0 && s.steps > steps, path, ".capacity_schedule ends at step ", s.steps,
              ", after train.steps = ", steps, ", so capacity itself is never reached");
  }

  void schedule() {
    const ScheduleConfig& s = config_.schedule;
    const ScheduleConfig usual;
    const int64_t steps = config_.train.steps;
    remark_if(s.warmup_share > 0 && s.warmup_steps != usual.warmup_steps,
              "schedule.warmup_steps has no effect beside warmup_share");
    remark_if(s.warmup_share == 0 && steps > 0 && s.warmup_steps >= steps,
              "schedule.warmup_steps = ", s.warmup_steps, " is all of train.steps = ", steps,
              ", so the learning rate never falls");
    remark_if(s.kind != ScheduleKind::wsd && s.decay_share != usual.decay_share,
              "schedule.decay_share has no effect without kind = \"wsd\"");
    remark_if(s.kind == ScheduleKind::constant && s.final_share != usual.final_share,
              "schedule.final_share has no effect with kind = \"constant\"");
  }

  void checkpoints() {
    const CheckpointConfig& c = config_.checkpoint;
    remark_if(c.every > 0 && c.keep_every % c.every != 0, "checkpoint.keep_every = ", c.keep_every,
              " is no multiple of checkpoint.every = ", c.every,
              ": only steps that are multiples of both are kept for good");
  }

  void distillation() {
    if (!config_.distill.teacher.empty()) return;
    Config usual, given;
    given.distill = config_.distill;
    for (const std::string& key : changed_keys(usual, given))
      remark_if(true, key, " has no effect without distill.teacher");
  }

  const Config& config_;
  std::set<std::string> used_;
  std::vector<std::string> remarks_;
};

}  // namespace

std::vector<std::string> remarks(const Config& config) { return Observer(config).run(); }

}  // namespace pointwork
