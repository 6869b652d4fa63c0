#pragma once
// Progress of countable work, on standard error.

#include <cstdint>
#include <mutex>
#include <string>

#include "pointwork/log/live_area.h"

namespace pointwork {

// On a terminal one line with bar, rate and ETA, rewritten at most 10 times a second; elsewhere a
// plain line after 2 s and then every 5 s, and nothing at all for work that ends before. Silent
// when quiet. update() and finish() may be called from any thread.
//
//   Progress progress("reading", bytes, "B");
//   progress.update(done);
//   progress.finish();
class Progress {
 public:
  // `total` in units, 0 where it is not known. `unit` is what a rate counts: "tok", "sequences", or
  // "B" for bytes.
  Progress(std::string label, int64_t total, std::string unit, const DisplayOptions& options = {});
  // Without finish(), as when an error unwinds, the line is removed.
  ~Progress() = default;

  // `done` is all that is done so far; `note` a few words at the end of the line.
  void update(int64_t done, const std::string& note = "");
  // The last line: the amount, the time it took and the mean rate. Later calls do nothing.
  void finish();
  // A line of text that must not garble the bar. Shown even when quiet.
  void message(const std::string& text);

 private:
  std::string line(double now, bool with_bar) const;
  std::string summary(double now) const;
  void count(double now);

  const std::string label_, unit_;
  const int64_t total_;
  const DisplayOptions options_;
  const bool live_;
  std::mutex mutex_;
  LiveArea area_;
  double start_, shown_at_, counted_at_;
  int64_t done_ = 0, counted_ = 0;
  double amount_ = 0, seconds_ = 0;  // decayed sums: their quotient is the recent rate
  bool shown_ = false, finished_ = false;
  std::string note_;
};

}  // namespace pointwork
