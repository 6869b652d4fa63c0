#pragma once
// TensorBoard event files: records framed as TFRecord (length and data, each with a masked
// CRC-32C), each an `Event` protocol buffer (tensorflow/core/util/event.proto,
// tensorflow/core/framework/summary.proto) written by hand.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pointwork/log/append_file.h"

namespace pointwork {

using Scalars = std::vector<std::pair<std::string, double>>;  // tag, value

// CRC-32C (Castagnoli), as in RFC 3720.
uint32_t crc32c(std::string_view bytes);

// `data` framed as one TFRecord.
std::string framed_record(std::string_view data);

// An Event with `scalars` (stored as float32) at `step`; the first event of a file; and the event
// that tells TensorBoard to forget what earlier files say from `step` on. wall_time in seconds
// since 1970. Unframed.
std::string scalar_event(double wall_time, int64_t step, const Scalars& scalars);
std::string version_event(double wall_time);
std::string restart_event(double wall_time, int64_t step);

// A new file `events.out.tfevents.SECONDS.HOST.PID.N` in `folder`, made by the first call. Errors
// name the file and the reason.
class EventFile {
 public:
  explicit EventFile(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void add(int64_t step, const Scalars& scalars);
  // A run goes on after `step`: points that older files of the folder hold beyond it are no longer
  // shown.
  void resume_at(int64_t step);
  const std::filesystem::path& path() const { return path_; }  // empty before the first call

 private:
  void write(std::string_view event);

  std::filesystem::path folder_, path_;
  AppendFile file_;
};

}  // namespace pointwork
