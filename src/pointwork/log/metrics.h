#pragma once
// metrics.jsonl: one JSON object a line, only ever appended to.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "pointwork/log/append_file.h"

namespace pointwork {

// Each line is handed to the system whole as it comes, so a killed process loses none. Errors name
// the file and the reason.
class MetricsFile {
 public:
  // The file is made by the first append().
  explicit MetricsFile(std::filesystem::path path) : path_(std::move(path)) {}

  // Writes `object` in its own order of keys; numbers that are not finite become null. A line that
  // did not go in whole (full disk) is taken back before the error. What a crash left of a last
  // line is cut off at the first append.
  void append(const nlohmann::ordered_json& object);

  // Drops the lines whose `step` is greater than `step` and what was left of a last line; the file
  // changes at once or not at all. Lines without `step` stay. A missing file is fine.
  void resume_at(int64_t step);

 private:
  std::filesystem::path path_;
  AppendFile file_;
  bool whole_ = false;  // the file is known to end with a line's end
};

// Every object of the file, in order. A last line cut short (no line end, no whole object) is
// ignored; any other line that is not a JSON object is an Error naming file and line.
std::vector<nlohmann::ordered_json> read_metrics(const std::filesystem::path& path);

}  // namespace pointwork
