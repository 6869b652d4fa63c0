#include "pointwork/report/units.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace pointwork {
namespace {

constexpr const char* kNone = "–";
constexpr const char* kSpace = "\u00a0";
constexpr std::array<const char*, 7> kPrefixes = {"", "k", "M", "G", "T", "P", "E"};

std::string printed(const char* format, double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, digits, std::fabs(value));
  std::string out = text.data();
  const bool zero = out.find_first_not_of("0.") == std::string::npos;
  return value < 0 && !zero ? "−" + out : out;
}

struct Scaled {
  double value = 0;
  size_t prefix = 0;
};

// So that three digits show between 1 and 999.
Scaled scaled(double value, double base) {
  Scaled s{value, 0};
  while (std::fabs(s.value) >= base * (1 - 0.5e-3) && s.prefix + 1 < kPrefixes.size()) {
    s.value /= base;
    ++s.prefix;
  }
  return s;
}

std::string three_digits(double value) {
  const double size = std::fabs(value);
  return fixed(value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

std::string whole(double value) { return printed("%.*f", value, 0); }

double nice_step(Quantity quantity, double rough) {
  if (quantity == Quantity::seconds) {
    for (const double s :
         {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200}) {
      if (s >= rough && rough > 0.5) return s;
    }
    if (rough > 43200) return 86400 * nice_step(Quantity::steps, rough / 86400);
  }
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double m : {5.0, 2.0, 1.0}) {
    if (m * power >= rough * (1 - 1e-9)) step = m * power;
  }
  return quantity == Quantity::steps ? std::max(1.0, step) : step;
}

}  // namespace

std::string fixed(double value, int digits) {
  return std::isfinite(value) ? printed("%.*f", value, digits) : kNone;
}

std::string percent(double share, int digits) {
  return std::isfinite(share) ? fixed(100 * share, digits) + kSpace + "%" : kNone;
}

std::string with_prefix(double value) {
  if (!std::isfinite(value)) return kNone;
  const Scaled s = scaled(value, 1000);
  if (s.prefix == 0) return s.value == std::floor(s.value) ? whole(s.value) : three_digits(s.value);
  return three_digits(s.value) + kSpace + kPrefixes[s.prefix];
}

std::string flop_text(double flops) {
  if (!std::isfinite(flops)) return kNone;
  const Scaled s = scaled(flops, 1000);
  return three_digits(s.value) + kSpace + kPrefixes[s.prefix] + "FLOP";
}

std::string byte_text(double bytes) {
  if (!std::isfinite(bytes)) return kNone;
  const Scaled s = scaled(bytes, 1024);
  if (s.prefix == 0) return whole(bytes) + kSpace + "bytes";
  return three_digits(s.value) + kSpace + (s.prefix == 1 ? "K" : kPrefixes[s.prefix]) + "iB";
}

std::string elapsed_text(double seconds) {
  if (!std::isfinite(seconds)) return kNone;
  if (seconds < 1) return three_digits(1000 * seconds) + kSpace + "ms";
  if (seconds < 9.95) return fixed(seconds, 1) + kSpace + "s";
  const auto s = std::llround(seconds);
  const auto pair = [](long long a, const char* first, long long b, const char* second) {
    std::string out = std::to_string(a) + kSpace + first;
    if (b > 0) out += std::string(kSpace) + std::to_string(b) + kSpace + second;
    return out;
  };
  if (s < 60) return std::to_string(s) + kSpace + "s";
  if (s < 3600) return pair(s / 60, "min", s % 60, "s");
  if (s < 86400) return pair(s / 3600, "h", s % 3600 / 60, "min");
  return pair(s / 86400, "d", s % 86400 / 3600, "h");
}

std::string integer_text(double value) {
  if (!std::isfinite(value)) return kNone;
  std::string digits = whole(value);
  const size_t first = value < 0 && digits[0] != '0' ? std::string("−").size() : 0;
  for (size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::vector<double> axis_ticks(Quantity quantity, double low, double high, int count) {
  if (!(high > low)) return {low};
  const double step = nice_step(quantity, (high - low) / count);
  std::vector<double> ticks;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i) {
    ticks.push_back(i * step);
  }
  return ticks;
}

std::string tick_text(Quantity quantity, double value, double step) {
  const auto trimmed = [](double v) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.6g", v);
    return std::string(text.data());
  };
  if (quantity == Quantity::plain) {
    return fixed(value, step >= 1 ? 0 : static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  }
  if (value == 0) return "0";
  if (quantity == Quantity::seconds) {
    if (value < 60 || step < 1) return trimmed(value) + kSpace + "s";
    if (step < 60 || (step < 3600 && value >= 3600)) return elapsed_text(value);
    if (step < 3600) return trimmed(value / 60) + kSpace + "min";
    if (step < 86400) return trimmed(value / 3600) + kSpace + "h";
    return trimmed(value / 86400) + kSpace + "d";
  }
  const Scaled s = scaled(value, 1000);
  const std::string unit = quantity == Quantity::flops ? "FLOP" : "";
  const std::string suffix = kPrefixes[s.prefix] + unit;
  return trimmed(s.value) + (suffix.empty() ? "" : kSpace + suffix);
}

}  // namespace pointwork
