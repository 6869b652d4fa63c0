#include "pointwork/log/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "pointwork/base/check.h"

namespace pointwork {

bool AppendFile::open(const std::filesystem::path& path, Start start) {
  close();
  path_ = path;
  const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
  descriptor_ = ::open(path.c_str(), flags | (start == Start::new_file ? O_EXCL : 0), 0644);
  if (descriptor_ < 0 && errno == EEXIST && start == Start::new_file) return false;
  check(descriptor_ >= 0, "cannot write ", path.string(), ": ", std::strerror(errno));
  return true;
}

void AppendFile::append(std::string_view record) {
  struct stat before {};
  const bool known = fstat(descriptor_, &before) == 0;
  size_t done = 0;
  while (done < record.size()) {
    const ssize_t put = ::write(descriptor_, record.data() + done, record.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int why = errno;
      const bool taken_back = done == 0 || (known && ftruncate(descriptor_, before.st_size) == 0);
      fail("cannot write ", path_.string(), ": ", std::strerror(why),
           taken_back ? "" : "; its last record is cut short");
    }
    done += static_cast<size_t>(put);
  }
}

void AppendFile::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace pointwork
