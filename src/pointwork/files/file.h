#pragma once
// Files that appear whole or not at all.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace pointwork {

// The whole file. Error if missing, a folder, unreadable or longer than `limit` bytes.
std::string read_file(const std::filesystem::path& path, uint64_t limit = uint64_t{1} << 32);

// Writes to PATH.tmp-PID, fsyncs, renames over PATH, fsyncs the folder. Error (nothing left behind)
// if any step fails, or if PATH is a device or a folder.
void write_file(const std::filesystem::path& path, std::string_view content);

// Builds a folder under `final_path`.tmp-PID with `fill`, fsyncs every file, then renames it to
// `final_path`. If `fill` throws or the disk is full, the temporary folder is removed and nothing
// appears. An existing final_path is an error unless `replace`; then it stays until the new folder
// takes its place.
struct FolderOptions {
  bool replace = false;
};
void write_folder(const std::filesystem::path& final_path,
                  const std::function<void(const std::filesystem::path& folder)>& fill,
                  FolderOptions options = {});

void fsync_path(const std::filesystem::path& path);  // file or folder

// A read-only memory map; `bytes` stays valid as long as the object (moves keep the address).
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&&) noexcept;
  MappedFile& operator=(MappedFile&&) noexcept;
  ~MappedFile();
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Takes a part of it out of this process's memory; it is read again when it is asked for.
  void forget(std::span<const std::byte> part) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace pointwork
