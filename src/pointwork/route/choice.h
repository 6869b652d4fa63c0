#pragma once
// Choices: pure functions from scores to a Route.

#include "pointwork/config/route_config.h"
#include "pointwork/route/route.h"
#include "pointwork/route/rows.h"

namespace pointwork {

// The capacity in force at `step`.
double capacity_at(const RouteConfig& config, int64_t step);

// Slots of one sequence of `rows` rows: ⌈capacity · rows⌉.
int64_t slots_of(double capacity, int64_t rows);

// Expert choice (Mixture-of-Depths eq. 1): each sequence's ⌈c·v⌉ highest scores among its v valid
// rows, ascending, ties to the lower row; other slots empty. `score` float32 [T]; every sequence
// has rows.each rows. NaN ranks lowest: the row keeps it, so the loss shows it to the step's guard.
Route choose_top(const std::string& name, const Tensor& score, const Rows& rows, double capacity);

// Causal choice: the valid rows whose decision is above 0, ascending. Works on ragged rows. Reads
// one count.
Route choose_above_zero(const Tensor& decision, const Rows& rows);

// The Route of one expert over rows in `token` (int32 [N], ascending within a sequence, kEmpty =
// none), `each` slots of every sequence or 0. Neither weight nor logits.
Route route_of_rows(const Tensor& token, const Rows& rows, int64_t each);

// Every row enters, in order: what capacity 1 means in every phase.
Route choose_all(const Rows& rows);

// The Routes of several experts over the same rows as one, slots by expert.
Route of_all_experts(const std::vector<Route>& routes);

// The k-th highest score of each sequence, k = ⌈c·v⌉, averaged over sequences where it is finite;
// NaN where it is in none. // float32 []
Tensor boundary_score(const Tensor& score, const Rows& rows, double capacity);

// N(0, 1) by seed, name, round, sequence key and position. // float32 [T]
Tensor random_scores(const std::string& name, const Rows& rows, uint64_t seed, int64_t round);

// Φ⁻¹, for p in (0, 1).
double inverse_normal(double p);

}  // namespace pointwork
