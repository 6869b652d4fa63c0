#pragma once
// Rows at the bottom of a terminal that are rewritten in place, with other text going above them.

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace pointwork {

// Where and how a display writes. Tests set `live`, `width` and `now`.
struct DisplayOptions {
  bool quiet = false;
  std::FILE* stream = stderr;
  int live = -1;  // 1: rewrites in place, 0: plain lines, -1: as use_colour(stream) says
  int width = 0;  // columns; 0: asked of the terminal at every drawing, so that it may be resized
  double (*now)() = nullptr;  // seconds; null: the monotonic clock
};

bool is_live(const DisplayOptions& options);
int width_of(const DisplayOptions& options);
double seconds_now(const DisplayOptions& options);

// Not for several threads at once. Every change is one write, so nothing flickers. What it drew is
// gone when it is destroyed.
class LiveArea {
 public:
  explicit LiveArea(const DisplayOptions& options) : options_(options) {}
  ~LiveArea() { clear(); }
  LiveArea(const LiveArea&) = delete;
  LiveArea& operator=(const LiveArea&) = delete;

  // Replaces what is shown; rows are cut to the width.
  void show(const std::vector<std::string>& rows);
  // Puts a line above the rows, which stay.
  void above(std::string_view line);
  void clear();
  // Ends the area: `lines` stay where the rows were, the next output begins below.
  void leave(const std::vector<std::string>& lines);

 private:
  std::string erase() const;  // back to the first row's start, everything from there on wiped

  DisplayOptions options_;
  std::vector<std::string> rows_;
};

// "━━━━━━━━────────" of `columns`, filled to `share`.
std::string bar_text(double share, int columns);

}  // namespace pointwork
