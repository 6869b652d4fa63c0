#pragma once
// Numbers as people read them. Values that are not finite print as "nan", "inf" or "-inf", an
// unknown duration as "?".

#include <string>

namespace pointwork {

// Three significant digits and a suffix: "0", "512", "18.4k", "1.24M", "3.10G", "2.00T".
std::string count_text(double count);

// "512 B", "1.9 GiB", "123 MiB": one decimal below 100.
std::string bytes_text(double bytes);

// "45 ms", "3.2 s", "45 s", "3 min", "2 h 5 min", "3 d 4 h". Negative or not finite: "?".
std::string duration_text(double seconds);

// "12.3 GFLOP".
std::string flops_text(double flops);

// "2.9e-4"; "0" for 0.
std::string scientific_text(double value);

// A share in [0, 1] with `decimals`: "12.6 %".
std::string percent_text(double share, int decimals);

// `per_second` of `unit`: "18.4k tok/s"; for the unit "B" binary prefixes: "1.9 MiB/s".
std::string rate_text(double per_second, const std::string& unit);

// An amount of `unit`: "18.4k tok", "1.9 MiB".
std::string amount_text(double amount, const std::string& unit);

}  // namespace pointwork
