#include "pointwork/log/live_area.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "pointwork/log/terminal.h"

namespace pointwork {
namespace {

// One call, so that a frame reaches the terminal whole. A stream that is gone must not stop the
// work.
void put(std::FILE* stream, const std::string& text) {
  if (text.empty()) return;
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace

bool is_live(const DisplayOptions& options) {
  return options.live < 0 ? use_colour(options.stream) : options.live > 0;
}

int width_of(const DisplayOptions& options) {
  return options.width > 0 ? options.width : terminal_width(options.stream);
}

double seconds_now(const DisplayOptions& options) {
  if (options.now) return options.now();
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

std::string LiveArea::erase() const {
  if (rows_.empty()) return "";
  std::string text = "\r";
  if (rows_.size() > 1) text += "\x1b[" + std::to_string(rows_.size() - 1) + "A";
  return text + "\x1b[J";
}

void LiveArea::show(const std::vector<std::string>& rows) {
  std::string text = erase();
  // A row that fills the last column wraps on some terminals.
  const int columns = width_of(options_) - 1;
  rows_.clear();
  for (const std::string& row : rows) rows_.push_back(fit(one_line(row), columns));
  for (size_t i = 0; i < rows_.size(); ++i) text += (i ? "\n" : "") + rows_[i];
  put(options_.stream, text);
}

void LiveArea::above(std::string_view line) {
  std::string text = erase() + one_line(line) + "\n";
  for (size_t i = 0; i < rows_.size(); ++i) text += (i ? "\n" : "") + rows_[i];
  put(options_.stream, text);
}

void LiveArea::clear() {
  put(options_.stream, erase());
  rows_.clear();
}

void LiveArea::leave(const std::vector<std::string>& lines) {
  std::string text = erase();
  rows_.clear();
  for (const std::string& line : lines) text += one_line(line) + "\n";
  put(options_.stream, text);
}

std::string bar_text(double share, int columns) {
  if (!std::isfinite(share)) share = 0;
  const int full = static_cast<int>(std::floor(std::clamp(share, 0.0, 1.0) * columns));
  std::string bar;
  for (int i = 0; i < columns; ++i) bar += i < full ? "━" : "─";
  return bar;
}

}  // namespace pointwork
