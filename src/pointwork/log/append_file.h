#pragma once
// A file that is only ever appended to, whole records at a time.

#include <filesystem>
#include <string_view>

namespace pointwork {

// Each record is handed to the system as it comes, so a killed process loses none. Errors name the
// file and the reason.
class AppendFile {
 public:
  AppendFile() = default;
  ~AppendFile() { close(); }
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  enum class Start { at_end, new_file };
  // new_file: false where the path exists already. at_end: makes the file where there is none.
  bool open(const std::filesystem::path& path, Start start);
  bool is_open() const { return descriptor_ >= 0; }
  // A record that did not go in whole (full disk) is taken back before the error.
  void append(std::string_view record);
  void close();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace pointwork
