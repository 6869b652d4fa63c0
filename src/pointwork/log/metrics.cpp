#include "pointwork/log/metrics.h"

#include <functional>
#include <limits>
#include <string_view>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

Json parsed(std::string_view line) {
  return Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
}

// Calls `take` with each whole line and its object.
void each_line(const fs::path& path, std::string_view content,
               const std::function<void(std::string_view line, const Json& object)>& take) {
  size_t number = 0;
  for (size_t begin = 0; begin < content.size();) {
    ++number;
    const size_t end = content.find('\n', begin);
    const std::string_view line = content.substr(begin, end - begin);
    const Json object = parsed(line);
    if (!object.is_object()) {
      check(end == std::string_view::npos, path.string(), " line ", number,
            ": expected a JSON object; mend or remove the line");
      return;
    }
    take(line, object);
    if (end == std::string_view::npos) return;
    begin = end + 1;
  }
}

bool kept(const Json& object, int64_t step) {
  const auto found = object.find("step");
  return found == object.end() || !found->is_number() || found->get<double>() <= double(step);
}

}  // namespace

void MetricsFile::append(const Json& object) {
  check(object.is_object(), "a line of ", path_.string(), " must be a JSON object");
  if (!file_.is_open()) {
    if (!whole_) resume_at(std::numeric_limits<int64_t>::max());
    file_.open(path_, AppendFile::Start::at_end);
  }
  file_.append(object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void MetricsFile::resume_at(int64_t step) {
  file_.close();
  std::error_code error;
  if (!fs::exists(path_, error)) return;
  const std::string content = read_file(path_);
  std::string left;
  each_line(path_, content, [&](std::string_view line, const Json& object) {
    if (!kept(object, step)) return;
    left += line;
    left += '\n';
  });
  if (left != content) write_file(path_, left);
  whole_ = true;
}

std::vector<Json> read_metrics(const fs::path& path) {
  std::vector<Json> all;
  each_line(path, read_file(path),
            [&](std::string_view, const Json& object) { all.push_back(object); });
  return all;
}

}  // namespace pointwork
