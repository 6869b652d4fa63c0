#include "pointwork/log/units.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace pointwork {
namespace {

std::string fixed(double value, int decimals) {
  char text[400];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string not_finite(double value) {
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

// Decimals that leave three digits once the value is rounded.
int three_digits(double value) {
  const double size = std::fabs(value);
  return size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
}

struct Scaled {
  double value;
  size_t power;
};

// The least power whose quotient still rounds to fewer than `base`.
Scaled scale(double value, double base, size_t powers) {
  size_t power = 0;
  while (power + 1 < powers && std::fabs(value) >= base - 0.5) {
    value /= base;
    ++power;
  }
  return {value, power};
}

std::string with_prefix(double value) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P", "E"};
  const auto [scaled, power] = scale(value, 1000, 7);
  const bool whole = power == 0 && scaled == std::floor(scaled);
  return fixed(scaled, whole ? 0 : three_digits(scaled)) + kPrefixes[power];
}

}  // namespace

std::string count_text(double count) {
  return std::isfinite(count) ? with_prefix(count) : not_finite(count);
}

std::string bytes_text(double bytes) {
  if (!std::isfinite(bytes)) return not_finite(bytes) + " B";
  constexpr const char* kUnits[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
  const auto [scaled, power] = scale(bytes, 1024, 7);
  const int decimals = power > 0 && std::fabs(scaled) < 99.95 ? 1 : 0;
  return fixed(scaled, decimals) + kUnits[power];
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 0.9995) return std::to_string(std::lround(seconds * 1000)) + " ms";
  if (seconds < 9.95) return fixed(seconds, 1) + " s";
  if (seconds < 89.5) return fixed(seconds, 0) + " s";
  constexpr double kYear = 365.25 * 86400;
  if (seconds > 1000 * kYear) return count_text(seconds / kYear) + " years";
  const auto parts = [](long long whole, int base, const char* large, const char* small) {
    std::string text = std::to_string(whole / base) + large;
    if (whole % base) text += " " + std::to_string(whole % base) + small;
    return text;
  };
  const long long minutes = std::llround(seconds / 60);
  if (minutes < 60) return std::to_string(minutes) + " min";
  if (minutes < 48 * 60) return parts(minutes, 60, " h", " min");
  return parts(std::llround(seconds / 3600), 24, " d", " h");
}

std::string flops_text(double flops) {
  if (!std::isfinite(flops)) return not_finite(flops) + " FLOP";
  std::string text = with_prefix(flops);
  const size_t digits = text.find_first_not_of("-0123456789.");
  if (digits == std::string::npos) return text + " FLOP";
  return text.insert(digits, " ") + "FLOP";
}

std::string scientific_text(double value) {
  if (!std::isfinite(value)) return not_finite(value);
  if (value == 0) return "0";
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", value);
  const std::string whole = text;
  const size_t e = whole.find('e');
  return whole.substr(0, e + 1) + std::to_string(std::atoi(whole.c_str() + e + 1));
}

std::string percent_text(double share, int decimals) {
  return (std::isfinite(share) ? fixed(100 * share, decimals) : not_finite(share)) + " %";
}

std::string amount_text(double amount, const std::string& unit) {
  if (unit == "B") return bytes_text(amount);
  return unit.empty() ? count_text(amount) : count_text(amount) + " " + unit;
}

std::string rate_text(double per_second, const std::string& unit) {
  return amount_text(per_second, unit) + (unit.empty() ? " /s" : "/s");
}

}  // namespace pointwork
