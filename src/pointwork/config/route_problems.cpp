#include "pointwork/config/route_problems.h"

#include <set>

#include "pointwork/base/printable.h"
#include "pointwork/config/expert_capacity.h"
#include "pointwork/config/grammar.h"

namespace pointwork {
namespace {

class RouteChecker {
 public:
  // `path`: of the route.
  RouteChecker(std::string path, const Config& config, const RouteConfig& route)
      : path_(std::move(path)), config_(config), route_(route) {}

  void run() {
    weight();
    if (route_.by_token()) token();
  }

  // Of a routed branch, whose path is `branch`.
  void body(const std::string& branch, const RoutedConfig& routed) {
    const auto found = config_.branch.find(routed.of);
    if (found == config_.branch.end()) return;
    const bool is_mlp = routed_mlp(config_, routed);
    const std::string what =
        concat("but '", printable(routed.of), "' is of kind \"", found->second.kind(), "\"");
    if (route_.num_experts > 1 && !is_mlp)
      problem(".num_experts is ", route_.num_experts, ": only an mlp can be several experts, ",
              what);
    if (route_.num_experts > 1 && !route_.by_token() && route_.choice != ChoiceKind::expert)
      problem(".num_experts is ", route_.num_experts, ", but with choice = \"",
              name_of(route_.choice), "\" there is one");
    if (routed.norm == RoutedNorm::outside && !is_mlp)
      problems.push_back(
          concat(branch, ".norm = \"outside\" needs an mlp, whose only norm that is, ", what));
  }

  void projections(const std::string& branch, const AttentionConfig& attention) {
    if (!route_.by_token())
      problem(".choice must be \"token\", as each token needs its own key and value, found \"",
              name_of(route_.choice), "\"");
    if (route_.noop == NoopKind::copy)
      problem(".noop must be \"zero\" for attention, found \"copy\"");
    if (attention.qk_norm != QkNorm::none)
      problems.push_back(concat(branch, ".qk_norm must be \"none\" with projection_route, as it ",
                                "would be of one expert, found \"", name_of(attention.qk_norm),
                                "\""));
    if (attention.output_norm)
      problems.push_back(concat(branch, ".output_norm must be false with projection_route, as it ",
                                "would be of one expert, found true"));
  }

  std::vector<std::string> problems;

 private:
  template <class... Parts>
  void problem(const Parts&... parts) {
    problems.push_back(concat(path_, parts...));
  }

  void weight() {
    const RouterWeight w = route_.weight;
    const bool both = w == RouterWeight::raw || w == RouterWeight::none;
    const bool of_tokens = w == RouterWeight::renormalised || w == RouterWeight::ste;
    if (both || of_tokens == route_.by_token()) return;
    problem(".weight must be one of raw, ",
            route_.by_token() ? "renormalised, ste, none" : "sigmoid, tanh, none",
            " with choice = \"", name_of(route_.choice), "\", found \"", name_of(w), "\"");
  }

  void token() {
    const TokenChoiceConfig& t = route_;
    const int64_t choices = t.choices();
    if (t.top_k > choices)
      problem(".top_k is ", t.top_k, ", more than there are choices: num_experts ", t.num_experts,
              " + num_noop ", t.num_noop);
    if (t.top_k == 1 && route_.weight == RouterWeight::renormalised)
      problem(
          ".weight = \"renormalised\" is 1 at top_k = 1 whatever the router says, so the "
          "language model's loss would not train it: use raw, as Switch does, or ste");
    if (t.second_choice != SecondChoice::all && t.top_k != 2)
      problem(".second_choice = \"", name_of(t.second_choice), "\" needs top_k = 2, found ",
              t.top_k);
    if (t.target_active > static_cast<double>(t.top_k))
      problem(".target_active must be at most top_k = ", t.top_k, ", found ", t.target_active);
    if (t.target_active > 0 && t.num_noop == 0)
      problem(".target_active needs no-op experts, whose bias holds it: num_noop is 0");
    rounds();
    capacity();
  }

  void rounds() {
    const RouteConfig& t = route_;
    if (t.top_k_start > t.choices())
      problem(".top_k_start is ", t.top_k_start, ", more than there are choices: num_experts ",
              t.num_experts, " + num_noop ", t.num_noop);
    if (t.top_k_start > 0 && t.top_k_start < t.top_k)
      problem(".top_k_start must be at least top_k = ", t.top_k, ", found ", t.top_k_start);
    if (t.top_k_start > t.top_k && t.weight == RouterWeight::ste)
      problem(
          ".top_k_start needs weights that sum to as much for any number of choices, but with "
          "weight = \"ste\" each is 1");
    if (t.absorbing && (t.top_k != 1 || t.top_k_start > 1 || t.num_noop == 0))
      problem(".absorbing needs top_k = 1 and a no-op expert, found top_k = ",
              std::max(t.top_k, t.top_k_start), " and num_noop = ", t.num_noop);
    if (t.router_dtype == RouterDtype::bfloat16 && t.router != RouterKind::linear)
      problem(".router_dtype = \"bfloat16\" is of router = \"linear\", found \"", name_of(t.router),
              "\"");
    if (t.router_projection > 0 && t.router != RouterKind::gru)
      problem(".router_projection is of router = \"gru\", found \"", name_of(t.router), "\"");
  }

  void capacity() {
    const TokenChoiceConfig& t = route_;
    if (t.dropless || t.capacity_per_sequence > 0 || t.min_capacity > 0 || t.top_k > t.choices())
      return;
    const int64_t each = config_.train.sequence_length, rows = config_.train.batch_size * each;
    const auto check_factor = [&](const char* key, double factor) {
      const CapacityGroups groups = capacity_groups(t, factor, {.rows = rows, .each = each});
      const int64_t group = groups.rows > 0 ? groups.rows : rows;
      if (groups.capacity < 1)
        problem(".", key, " = ", factor, " gives each of ", t.num_experts, " experts ",
                fair_slots(t, factor, group), " slots in a group of ", group,
                " tokens, which is 0 after rounding: give min_capacity, a larger factor, or fewer "
                "experts");
    };
    check_factor("capacity_factor", t.capacity_factor);
    check_factor("eval_capacity_factor", t.eval_capacity_factor);
  }

  std::string path_;
  const Config& config_;
  const RouteConfig& route_;
};

// Where routers stand in the tree: rounds they can count, and rows that change between two rounds.
class PlaceChecker {
 public:
  explicit PlaceChecker(const Config& config) : config_(config) {}

  std::vector<std::string> run() {
    for (const std::string& layer : layer_names(config_.model)) visit(layer, {});
    return std::move(problems_);
  }

 private:
  struct Place {
    int64_t rounds = 1;   // of the nearest repeat around
    bool subset = false;  // a routed branch stands between it and here
    auto operator<=>(const Place&) const = default;
  };

  void visit(const std::string& name, Place place) {
    const auto found = config_.branch.find(name);
    if (found == config_.branch.end() || !seen_.insert({name, place}).second) return;
    const std::string path = "branch." + printable(name);
    if (const auto* attention = std::get_if<AttentionConfig>(&found->second.form)) {
      if (attention->projection_route)
        router(path + ".projection_route", *attention->projection_route, place);
    } else if (const auto* routed = std::get_if<RoutedConfig>(&found->second.form)) {
      if (routed->route.by_token()) router(path + ".route", routed->route, place);
      place.subset = place.rounds > 1;
    } else if (const auto* repeat = std::get_if<RepeatConfig>(&found->second.form)) {
      place = {.rounds = repeat->times, .subset = false};
    }
    for (const std::string& child : children_of(found->second)) visit(child, place);
  }

  void router(const std::string& path, const RouteConfig& route, const Place& place) {
    if (route.stateful() && place.subset)
      problems_.push_back(concat(
          path,
          route.absorbing ? ".absorbing" : concat(".router = \"", name_of(route.router), "\""),
          " keeps a state for each token from round to round, but a routed branch stands between "
          "it and its repeat, so that rounds have other tokens"));
    if (route.in_order_steps == 0) return;
    if (place.rounds < route.num_experts)
      problems_.push_back(concat(path, ".in_order_steps needs a round for each of ",
                                 route.num_experts, " experts, found ", place.rounds));
    if (place.rounds > route.num_experts && route.num_noop == 0)
      problems_.push_back(concat(path, ".in_order_steps: rounds from ", route.num_experts,
                                 " on begin with a no-op, but num_noop is 0"));
  }

  const Config& config_;
  std::set<std::pair<std::string, Place>> seen_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> route_problems(const std::string& path, const Config& config,
                                        const RoutedConfig& routed) {
  RouteChecker checker(path + ".route", config, routed.route);
  checker.run();
  checker.body(path, routed);
  return std::move(checker.problems);
}

std::vector<std::string> route_problems(const std::string& path, const Config& config,
                                        const AttentionConfig& attention) {
  if (!attention.projection_route) return {};
  RouteChecker checker(path + ".projection_route", config, *attention.projection_route);
  checker.run();
  checker.projections(path, attention);
  return std::move(checker.problems);
}

std::vector<std::string> place_problems(const Config& config) { return PlaceChecker(config).run(); }

}  // namespace pointwork
