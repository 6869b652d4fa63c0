#pragma once
// How many tokens an expert takes: arithmetic on a config and on numbers of rows alone.

#include "pointwork/config/token_choice_config.h"

namespace pointwork {

// Slots of an expert for `group` rows before rounding (Switch eq. 3): f·k·G / (E + O), or f·a·G / E
// where a mean of a = target_active experts is held.
double fair_slots(const TokenChoiceConfig& config, double factor, int64_t group);

// The same rounded, at least min_capacity, and at most G.
int64_t expert_capacity(const TokenChoiceConfig& config, double factor, int64_t group);

// Where experts are full.
struct CapacityGroups {
  int64_t rows = 0;  // consecutive rows of a group, of which the last may have fewer; 0: all are
                     // one
  int64_t capacity = 0;  // slots of an expert in each group; 0: dropless, or too few for one
};

// Rows that stand in sequences of `each`.
struct RowCount {
  int64_t rows = 0, each = 0;
};

// Whether a group is a sequence: with one expert, and where capacity_per_sequence says so.
bool by_sequence(const TokenChoiceConfig& config);

// Groups of group_size rows, whose capacity is that of a full group, also in the last; or a
// sequence each.
CapacityGroups capacity_groups(const TokenChoiceConfig& config, double factor, const RowCount& of);

}  // namespace pointwork
