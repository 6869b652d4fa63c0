#pragma once
// Numbers as people read them. A number that is not finite is printed as an en dash.

#include <string>
#include <vector>

namespace pointwork {

std::string fixed(double value, int digits);    // "3.412", true minus sign
std::string percent(double share, int digits);  // 0.125 -> "12.5 %"
std::string with_prefix(double value);          // "1.23 k", "81.8 M": three digits
std::string flop_text(double flops);            // "8.00 TFLOP"
std::string byte_text(double bytes);            // "1.90 GiB"
std::string elapsed_text(double seconds);       // "41 s", "2 min 5 s", "3 h 20 min"
std::string integer_text(double value);         // "12,345"

// What an axis counts.
enum class Quantity { steps, flops, seconds, plain };

// Round numbers inside [low, high], about `count` of them, evenly spaced.
std::vector<double> axis_ticks(Quantity quantity, double low, double high, int count);

// The label of a tick: "1.5 k", "10 TFLOP", "2 min". `step` is the distance between ticks.
std::string tick_text(Quantity quantity, double value, double step);

}  // namespace pointwork
