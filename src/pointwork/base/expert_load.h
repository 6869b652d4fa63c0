#pragma once
// What counts as a bad load of an expert, whose load is its choices before drops as a ratio to the
// fair share of experts.

namespace pointwork {

// Below it an expert is dead: what it costs in memory buys nothing.
inline constexpr double kDeadLoad = 0.01;

// Above it an expert is overrun. At the usual capacity factors it drops 58 % of its tokens in
// training (1.25) and a third in evaluation (2). Four experts a choice are enough to reach it,
// where a rule of 4 could not fail any model of fewer than five.
inline constexpr double kBusyLoad = 3;

}  // namespace pointwork
