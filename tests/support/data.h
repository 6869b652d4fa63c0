#pragma once
// Where tests find real data, and a folder of their own.

#include <cstdlib>
#include <filesystem>
#include <string>

namespace pointwork::test {

// $POINTWORK_DATA, else ../shared/data beside the project; "" where there is none (tests then
// skip).
inline std::filesystem::path data_folder() {
  if (const char* folder = std::getenv("POINTWORK_DATA")) return folder;
  const auto beside = std::filesystem::path(POINTWORK_SOURCE_DIR).parent_path() / "shared" / "data";
  return std::filesystem::is_directory(beside) ? beside : std::filesystem::path();
}

// Made empty, removed with all it holds.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "pointwork-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace pointwork::test
