#pragma once
// What a routed branch did: sums that stay on the device until someone reads them.

#include <optional>
#include <string>
#include <vector>

#include "pointwork/route/route.h"

namespace pointwork {

// What token choice did, of one routed branch.
struct ExpertStats {
  std::vector<double> load;  // [E + O] choices before drops, as a ratio to the fair share of
                             // experts (of no-ops alike)
  int64_t num_experts = 0;   // E
  double max_load = 0;       // the largest of the experts'
  int64_t dead = 0;          // experts below 1 % of their fair share
  double load_entropy = 0;   // of the experts' loads, as a share of the largest there can be
  double entropy = 0;        // of a token's scores, likewise: 1 where it has no preference
  double confidence = 0;     // mean highest probability
  double dropped_share = 0;  // of choices of experts, those that found them full
  double noop_share = 0;     // of choices
  double z = 0;              // mean squared logsumexp of logits
};

// Read on the host.
struct RouteStats {
  std::string name;
  double rows = 0;            // valid rows routed; with several experts that choose, once for each
  double selected_share = 0;  // of them, those that entered
  double router_mean = 0, router_std = 0;
  // Of the causal decision against the choice.
  double accuracy = 0, precision = 0, recall = 0;
  std::optional<ExpertStats> experts;  // of token choice; router_mean is then the mean confidence
};

// Sums over any number of forward passes of the same model.
class RouteStatsSum {
 public:
  void add(const std::vector<Route>& routes);
  std::vector<RouteStats> read()
      const;  // one per routed branch, rounds of a repeat together; waits for the device
  bool empty() const { return sums_.empty(); }

 private:
  struct Sum {
    std::string name;
    int64_t experts = 0;  // of token choice
    Tensor
        values;  // float64 [7]: rows, chosen, Σr, Σr², hits, decided, agreed; of token choice,
                 // where r is the confidence, then routed, dropped, Σ entropy, Σ z, loads [E + O]
  };
  std::vector<Sum> sums_;
};

// The selected share of the branch `name`; 0 where it is not there: causally, a block inside
// another that no row took made no route.
double selected_share_of(const std::vector<RouteStats>& stats, const std::string& name);

// Over all routed branches together, weighted by rows; the decision over those that have one.
RouteStats overall(const std::vector<RouteStats>& stats);

}  // namespace pointwork
