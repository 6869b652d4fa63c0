#pragma once
// What a routed branch did: sums that stay on the device until someone reads them.

#include <string>
#include <vector>

#include "pointwork/route/route.h"

namespace pointwork {

// Read on the host.
struct RouteStats {
  std::string name;
  double rows = 0;            // valid rows routed
  double selected_share = 0;  // of them, chosen
  double router_mean = 0, router_std = 0;
  // Of the causal decision against the choice.
  double accuracy = 0, precision = 0, recall = 0;
};

// Sums over any number of forward passes of the same model.
class RouteStatsSum {
 public:
  void add(const std::vector<Route>& routes);
  std::vector<RouteStats> read()
      const;  // one per routed branch, rounds of a repeat together; waits for the device
  bool empty() const { return sums_.empty(); }

 private:
  std::vector<std::string> names_;
  std::vector<Tensor> sums_;  // float64 [7]: rows, chosen, Σr, Σr², hits, decided, agreed
};

// The selected share of the branch `name`; 0 where it is not there: causally, a block inside
// another that no row took made no route.
double selected_share_of(const std::vector<RouteStats>& stats, const std::string& name);

// Over all routed branches together, weighted by rows.
RouteStats overall(const std::vector<RouteStats>& stats);

}  // namespace pointwork
