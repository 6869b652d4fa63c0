#include "pointwork/log/progress.h"

#include <algorithm>
#include <cmath>

#include "pointwork/log/terminal.h"
#include "pointwork/log/units.h"

namespace pointwork {
namespace {

constexpr double kRedraw = 0.1, kPlainFirst = 2, kPlainEvery = 5;  // seconds
constexpr double kRateMemory = 10;  // seconds over which a change of pace is believed
constexpr int kLeastBar = 10, kBarColumns = 40;

}  // namespace

Progress::Progress(std::string label, int64_t total, std::string unit,
                   const DisplayOptions& options)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      options_(options),
      live_(is_live(options)),
      area_(options),
      start_(seconds_now(options)),
      shown_at_(start_),
      counted_at_(start_) {}

void Progress::count(double now) {
  const double passed = now - counted_at_;
  if (passed <= 0) return;
  const double kept = std::exp(-passed / kRateMemory);
  amount_ = kept * amount_ + static_cast<double>(done_ - counted_);
  seconds_ = kept * seconds_ + passed;
  counted_ = done_;
  counted_at_ = now;
}

void Progress::update(int64_t done, const std::string& note) {
  if (options_.quiet) return;
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  done_ = done;
  const double now = seconds_now(options_);
  const double wait = live_ ? (shown_ ? kRedraw : 0) : (shown_ ? kPlainEvery : kPlainFirst);
  if (now - shown_at_ < wait) return;
  note_ = note;
  count(now);
  if (live_) {
    area_.show({line(now, true)});
  } else {
    area_.leave({line(now, false)});
  }
  shown_at_ = now;
  shown_ = true;
}

void Progress::finish() {
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  finished_ = true;
  const double now = seconds_now(options_);
  if (options_.quiet) return;
  if (live_ || shown_ || now - start_ >= kPlainFirst) area_.leave({summary(now)});
}

void Progress::message(const std::string& text) {
  const std::lock_guard lock(mutex_);
  area_.above(text);
}

std::string Progress::line(double now, bool with_bar) const {
  const double done = static_cast<double>(done_), total = static_cast<double>(total_);
  const double rate = seconds_ > 0 ? amount_ / seconds_ : 0;
  std::string before = label_ + "  ", after;
  if (total_ > 0) {
    const double share = std::clamp(done / total, 0.0, 1.0);
    // Rounded down: 100 % means done.
    after += percent_text(std::floor(100 * share) / 100, 0) + "  ";
    const std::string of = amount_text(total, unit_);
    after += (unit_ == "B" ? bytes_text(done) : count_text(done)) + "/" + of;
  } else {
    after += amount_text(done, unit_);
  }
  if (rate > 0) after += "  " + rate_text(rate, unit_);
  if (total_ > 0 && rate > 0 && done_ < total_) {
    after += "  ETA " + duration_text((total - done) / rate);
  } else {
    after += "  " + duration_text(now - start_);
  }
  const std::string noted = note_.empty() ? after : after + "  " + note_;
  if (!with_bar || total_ <= 0) return before + noted;
  // The note gives way to a bar worth looking at, the bar to the numbers.
  const auto room = [&](const std::string& end) {
    return width_of(options_) - 1 - display_width(before) - display_width(end) - 2;
  };
  if (room(noted) >= kLeastBar) after = noted;
  const int columns = std::min(room(after), kBarColumns);
  if (columns < kLeastBar) return before + after;
  return before + bar_text(done / total, columns) + "  " + after;
}

std::string Progress::summary(double now) const {
  const double passed = now - start_, done = static_cast<double>(done_);
  std::string text = label_ + "  " + amount_text(done, unit_);
  if (total_ > 0 && done_ < total_)
    text += " of " + amount_text(static_cast<double>(total_), unit_);
  text += " in " + duration_text(passed);
  if (passed > 0 && done > 0) text += "  " + rate_text(done / passed, unit_);
  return text;
}

}  // namespace pointwork
