#pragma once
// What a person sees of a training run.

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include "pointwork/log/live_area.h"
#include "pointwork/log/units.h"

namespace pointwork {

struct TrainLine {
  int64_t step = 0, total_steps = 0;  // steps done; 0 total: not known
  double loss = 0;                    // nats
  std::optional<double> validation_loss;
  double learning_rate = 0;
  double grad_norm = 0;  // before clipping
  double tokens_per_second = 0;
  double mfu = NAN;                    // in [0, 1]; 0 or not finite: not known, left out
  std::optional<double> routed_share;  // in [0, 1]; left out where not finite
  std::optional<double> agreement;     // in [0, 1]; left out where not finite
  double peak_memory_bytes = 0;        // 0: left out
  double eta_seconds = NAN;            // negative or not finite: left out, as after the last step
};

// "step 1200/5000  loss 3.214  val 3.301  lr 2.9e-4  |g| 0.81  18.4k tok/s  MFU 61 %  routed 12.6 %
// agree 98.9 %  1.9 GiB  ETA 3 min". Where it is wider than `columns`, the least telling fields are
// left out until it fits; step and loss always stay. 0: no limit.
std::string train_line_text(const TrainLine& line, int columns = 0);

// Shows the latest line: on a terminal in place above a progress bar (at most 10 times a second),
// elsewhere as a line at first and then every 5 s. For one thread.
class TrainDisplay {
 public:
  explicit TrainDisplay(const DisplayOptions& options = {});
  // As finish().
  ~TrainDisplay();

  void update(const TrainLine& line);
  // A line of text above it, such as "saved checkpoint"; silent when quiet.
  void message(const std::string& text);
  // The same for what must be known: shown even when quiet.
  void warning(const std::string& text);
  // Leaves the last line standing and removes the bar. update() starts anew.
  void finish();

 private:
  void draw();

  const DisplayOptions options_;
  const bool live_;
  LiveArea area_;
  double start_, shown_at_ = 0;
  std::optional<TrainLine> line_;
  bool fresh_ = false;  // line_ is newer than what is shown
};

}  // namespace pointwork
