#include "pointwork/files/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;

// Of the call before: check()'s arguments have no order, so that call cannot stand among them.
std::string reason() { return std::strerror(errno); }

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0644)
      : fd_(open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Puts `fresh` in the place of `target` and what was there in the place of `fresh`: in one step
// where the file system can, so that a whole folder is there at any moment.
void exchange(const fs::path& fresh, const fs::path& target) {
  if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return;
  const fs::path old = target.string() + ".old-" + std::to_string(getpid());
  fs::rename(target, old);
  std::error_code error;
  fs::rename(fresh, target, error);
  if (error) {
    fs::rename(old, target);
    throw fs::filesystem_error("rename", fresh, target, error);
  }
  fs::rename(old, fresh);
}

void sync_tree(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) fsync_path(entry.path());
  fsync_path(folder);
}

}  // namespace

std::string read_file(const fs::path& path, uint64_t limit) {
  Descriptor file(path, O_RDONLY);
  check(static_cast<bool>(file), "cannot read ", path.string(), ": ", reason());
  struct stat status {};
  const bool known = fstat(file.get(), &status) == 0;
  check(known, "cannot read ", path.string(), ": ", reason());
  check(!S_ISDIR(status.st_mode), "cannot read ", path.string(),
        ": it is a folder, expected a file");
  std::string content;
  char buffer[1 << 16];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    check(got >= 0, "cannot read ", path.string(), ": ", reason());
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
    check(content.size() <= limit, "cannot read ", path.string(), ": it is longer than ", limit,
          " bytes");
  }
}

void write_file(const fs::path& path, std::string_view content) {
  // A rename would put a file in the place of a device such as /dev/null.
  std::error_code error;
  const fs::file_type there = fs::status(path, error).type();
  check(there == fs::file_type::regular || there == fs::file_type::not_found || error,
        "cannot write ", path.string(), ": it is no regular file");
  const fs::path temporary = path.string() + ".tmp-" + std::to_string(getpid());
  const auto give_up = [&](const char* what) {
    const std::string why = reason();
    unlink(temporary.c_str());
    fail("cannot ", what, " ", path.string(), ": ", why);
  };
  {
    Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file) give_up("write");
    size_t done = 0;
    while (done < content.size()) {
      const ssize_t put = write(file.get(), content.data() + done, content.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) give_up("write");
      done += static_cast<size_t>(put);
    }
    if (fsync(file.get()) != 0) give_up("write");
    if (close(file.release()) != 0) give_up("write");
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) give_up("write");
  fsync_path(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

void write_folder(const fs::path& final_path, const std::function<void(const fs::path&)>& fill,
                  FolderOptions options) {
  fs::path target = final_path;
  if (!target.has_filename()) target = target.parent_path();  // "out/" is "out"
  std::error_code error;
  const bool exists = fs::exists(fs::symlink_status(target, error));
  check(options.replace || !exists, target.string(), " exists already (--force replaces it)");
  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  fs::create_directories(parent, error);
  check(!error, "cannot make the folder ", parent.string(), ": ", error.message());
  const fs::path temporary = target.string() + ".tmp-" + std::to_string(getpid());
  fs::remove_all(temporary, error);
  const bool made = fs::create_directory(temporary, error);
  check(made, "cannot make the folder ", temporary.string(), ": ",
        error ? error.message() : "it is there and cannot be removed");
  try {
    fill(temporary);
    sync_tree(temporary);
    if (exists) {
      exchange(temporary, target);
      fs::remove_all(temporary, error);
    } else {
      fs::rename(temporary, target);
    }
    fsync_path(parent);
  } catch (const fs::filesystem_error& problem) {
    fs::remove_all(temporary, error);
    fail("cannot write ", target.string(), ": ", problem.code().message());
  } catch (...) {
    fs::remove_all(temporary, error);
    throw;
  }
}

void fsync_path(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  check(static_cast<bool>(file), "cannot open ", path.string(), ": ", reason());
  const bool written = fsync(file.get()) == 0;
  check(written, "cannot write ", path.string(), ": ", reason());
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  Descriptor file(path, O_RDONLY);
  check(static_cast<bool>(file), "cannot read ", path.string(), ": ", reason());
  struct stat status {};
  const bool known = fstat(file.get(), &status) == 0;
  check(known, "cannot read ", path.string(), ": ", reason());
  check(S_ISREG(status.st_mode), "cannot read ", path.string(), ": expected a file");
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* at = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  check(at != MAP_FAILED, "cannot map ", path.string(), ": ", reason());
  data_ = static_cast<const std::byte*>(at);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::forget(std::span<const std::byte> part) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page,
             end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace pointwork
