#pragma once
// A stream kept in memory, a clock that stands still, and the screen a terminal would show.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "pointwork/log/live_area.h"
#include "pointwork/log/terminal.h"

namespace pointwork::test {

inline double test_time = 0;
inline double test_clock() { return test_time; }

class Capture {
 public:
  Capture() : stream_(open_memstream(&data_, &size_)) { test_time = 100; }
  ~Capture() {
    std::fclose(stream_);
    std::free(data_);
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  DisplayOptions plain() { return {.stream = stream_, .live = 0, .width = 80, .now = test_clock}; }
  DisplayOptions live(int width) {
    return {.stream = stream_, .live = 1, .width = width, .now = test_clock};
  }
  std::string text() {
    std::fflush(stream_);
    return {data_, size_};
  }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
  std::FILE* stream_;
};

// The rows a terminal of `width` columns shows after `text`: carriage return, line feed (which goes
// to the first column, as a terminal's line discipline has it), cursor up, erase to the end,
// wrapping. Colours are dropped; anything else is shown as "?".
inline std::vector<std::string> screen(const std::string& text, int width) {
  std::vector<std::vector<std::string>> cells(1);
  size_t row = 0, column = 0;
  const auto go_down = [&] {
    column = 0;
    if (++row == cells.size()) cells.emplace_back();
  };
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '\r') {
      column = 0;
      ++at;
    } else if (text[at] == '\n') {
      go_down();
      ++at;
    } else if (text.compare(at, 2, "\x1b[") == 0) {
      const size_t end = text.find_first_not_of("0123456789;", at + 2);
      const std::string digits = text.substr(at + 2, end - at - 2);
      if (text[end] == 'A') {
        row -= std::min<size_t>(row, std::stoul(digits));
      } else if (text[end] == 'J' && digits.empty()) {
        cells[row].resize(std::min(cells[row].size(), column));
        cells.resize(row + 1);
      } else if (text[end] != 'm') {
        cells[row].push_back("?");
      }
      at = end + 1;
    } else {
      const size_t length = std::max<size_t>(1, character_length(text, at));
      if (column == static_cast<size_t>(width)) go_down();
      if (cells[row].size() <= column) cells[row].resize(column + 1, " ");
      cells[row][column++] = text.substr(at, length);
      at += length;
    }
  }
  std::vector<std::string> rows;
  for (const auto& line : cells) {
    rows.emplace_back();
    for (const std::string& cell : line) rows.back() += cell;
  }
  while (rows.size() > 1 && rows.back().empty()) rows.pop_back();
  return rows;
}

inline size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace pointwork::test
