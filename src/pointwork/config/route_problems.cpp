#include "pointwork/config/route_problems.h"

#include "pointwork/base/printable.h"
#include "pointwork/config/expert_capacity.h"
#include "pointwork/config/grammar.h"

namespace pointwork {
namespace {

class RouteChecker {
 public:
  RouteChecker(const std::string& path, const Config& config, const RoutedConfig& routed)
      : path_(path), config_(config), routed_(routed), route_(routed.route) {}

  std::vector<std::string> run() {
    weight();
    body();
    if (route_.by_token()) token();
    return std::move(problems_);
  }

 private:
  template <class... Parts>
  void problem(const Parts&... parts) {
    problems_.push_back(concat(path_, parts...));
  }

  void weight() {
    const RouterWeight w = route_.weight;
    const bool both = w == RouterWeight::raw || w == RouterWeight::none;
    const bool of_tokens = w == RouterWeight::renormalised || w == RouterWeight::ste;
    if (both || of_tokens == route_.by_token()) return;
    problem(".route.weight must be one of raw, ",
            route_.by_token() ? "renormalised, ste, none" : "sigmoid, tanh, none",
            " with choice = \"", name_of(route_.choice), "\", found \"", name_of(w), "\"");
  }

  void body() {
    const auto found = config_.branch.find(routed_.of);
    if (found == config_.branch.end()) return;
    const bool is_mlp = routed_mlp(config_, routed_);
    const std::string what =
        concat("but '", printable(routed_.of), "' is of kind \"", found->second.kind(), "\"");
    if (route_.num_experts > 1 && !is_mlp)
      problem(".route.num_experts is ", route_.num_experts,
              ": only an mlp can be several experts, ", what);
    if (route_.num_experts > 1 && !route_.by_token() && route_.choice != ChoiceKind::expert)
      problem(".route.num_experts is ", route_.num_experts, ", but with choice = \"",
              name_of(route_.choice), "\" there is one");
    if (routed_.norm == RoutedNorm::outside && !is_mlp)
      problem(".norm = \"outside\" needs an mlp, whose only norm that is, ", what);
  }

  void token() {
    const TokenChoiceConfig& t = route_;
    const int64_t choices = t.choices();
    if (t.top_k > choices)
      problem(".route.top_k is ", t.top_k, ", more than there are choices: num_experts ",
              t.num_experts, " + num_noop ", t.num_noop);
    if (t.top_k == 1 && route_.weight == RouterWeight::renormalised)
      problem(
          ".route.weight = \"renormalised\" is 1 at top_k = 1 whatever the router says, so the "
          "language model's loss would not train it: use raw, as Switch does, or ste");
    if (t.second_choice != SecondChoice::all && t.top_k != 2)
      problem(".route.second_choice = \"", name_of(t.second_choice), "\" needs top_k = 2, found ",
              t.top_k);
    if (t.target_active > static_cast<double>(t.top_k))
      problem(".route.target_active must be at most top_k = ", t.top_k, ", found ",
              t.target_active);
    if (t.target_active > 0 && t.num_noop == 0)
      problem(".route.target_active needs no-op experts, whose bias holds it: num_noop is 0");
    capacity();
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
        problem(".route.", key, " = ", factor, " gives each of ", t.num_experts, " experts ",
                fair_slots(t, factor, group), " slots in a group of ", group,
                " tokens, which is 0 after rounding: give min_capacity, a larger factor, or fewer "
                "experts");
    };
    check_factor("capacity_factor", t.capacity_factor);
    check_factor("eval_capacity_factor", t.eval_capacity_factor);
  }

  const std::string& path_;
  const Config& config_;
  const RoutedConfig& routed_;
  const RouteConfig& route_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> route_problems(const std::string& path, const Config& config,
                                        const RoutedConfig& routed) {
  return RouteChecker(path, config, routed).run();
}

}  // namespace pointwork
