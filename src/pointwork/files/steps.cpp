#include "pointwork/files/steps.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/files/manifest.h"

namespace pointwork {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "step-";

std::optional<int64_t> step_of(const std::string& name) {
  if (name.rfind(kPrefix, 0) != 0) return std::nullopt;
  int64_t step = -1;
  std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), step);
  // step-007 is none of ours: step_folder would not find it.
  if (step < 0 || name != concat(kPrefix, step)) return std::nullopt;
  return step;
}

std::string problem_of(const fs::path& folder, int64_t step) {
  const ManifestReport report = verify_manifest(folder);
  if (!report.problems.empty()) return report.problems.front();
  if (report.facts.value("step", int64_t{-1}) != step)
    return concat("it holds step ", report.facts.value("step", int64_t{-1}));
  return "";
}

}  // namespace

fs::path step_folder(const fs::path& checkpoints, int64_t step) {
  return checkpoints / concat(kPrefix, step);
}

std::vector<int64_t> list_steps(const fs::path& checkpoints) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(checkpoints, error)) {
    const auto step = step_of(entry.path().filename().string());
    if (step && entry.is_directory(error)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::optional<int64_t> newest_valid_step(const fs::path& checkpoints,
                                         const std::function<void(const std::string&)>& rejected) {
  const std::vector<int64_t> steps = list_steps(checkpoints);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::string problem = problem_of(step_folder(checkpoints, *step), *step);
    if (problem.empty()) return *step;
    if (rejected)
      rejected(concat(step_folder(checkpoints, *step).string(), " is passed over: ", problem));
  }
  return std::nullopt;
}

void prune_steps(const fs::path& checkpoints, const Retention& retention) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(checkpoints, ignored)) {
    // Of a dead process: a folder it was filling, or one it had just replaced.
    const std::string name = entry.path().filename().string();
    const bool left =
        name.find(".tmp-") != std::string::npos || name.find(".old-") != std::string::npos;
    if (name.rfind(kPrefix, 0) == 0 && left) fs::remove_all(entry.path(), ignored);
  }
  const std::vector<int64_t> steps = list_steps(checkpoints);
  if (static_cast<int64_t>(steps.size()) <= retention.keep_last) return;
  if (!problem_of(step_folder(checkpoints, steps.back()), steps.back()).empty()) return;
  for (size_t i = 0; i + static_cast<size_t>(retention.keep_last) < steps.size(); ++i) {
    if (retention.keep_every > 0 && steps[i] % retention.keep_every == 0) continue;
    // Renamed first, so that a half-deleted checkpoint is never taken for one.
    const fs::path gone = step_folder(checkpoints, steps[i]).string() + ".tmp-old";
    fs::rename(step_folder(checkpoints, steps[i]), gone, ignored);
    fs::remove_all(gone, ignored);
  }
}

RunLock::RunLock(const fs::path& run) {
  const fs::path path = run / ".lock";
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  check(file_ >= 0, path.string(), ": cannot be written: ", std::strerror(errno));
  if (flock(file_, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t count = pread(file_, holder, sizeof holder - 1, 0);
    close(file_);
    fail(run.string(), " is being written by another process (", count > 0 ? holder : "unknown",
         "); wait for it, or give another --out");
  }
  const std::string mine = std::to_string(getpid());
  if (ftruncate(file_, 0) != 0 || pwrite(file_, mine.data(), mine.size(), 0) < 0) {
    const std::string why = std::strerror(errno);
    close(file_);
    fail(path.string(), ": cannot be written: ", why);
  }
}

RunLock::~RunLock() {
  if (file_ >= 0) close(file_);
}

}  // namespace pointwork
