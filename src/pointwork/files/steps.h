#pragma once
// checkpoints/step-N: which there are, which is the newest valid one, which may go.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pointwork {

std::filesystem::path step_folder(const std::filesystem::path& checkpoints, int64_t step);

// Numbers of all step-N folders, ascending. An absent folder has none.
std::vector<int64_t> list_steps(const std::filesystem::path& checkpoints);

// The newest step whose files all have their hashes; `rejected` is told of every newer one, and
// why. Scanning decides: no pointer file can be stale.
std::optional<int64_t> newest_valid_step(const std::filesystem::path& checkpoints,
                                         const std::function<void(const std::string&)>& rejected);

struct Retention {
  int64_t keep_last = 2;   // newest steps kept
  int64_t keep_every = 0;  // multiples of this are kept for good; 0: none
};

// Deletes what retention does not keep, once the newest step verifies; otherwise nothing. Removes
// what dead runs left half-written.
void prune_steps(const std::filesystem::path& checkpoints, const Retention& retention);

// Held by the one process that writes a run. Error naming the holder's process where another lives.
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& run);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int file_ = -1;
};

}  // namespace pointwork
