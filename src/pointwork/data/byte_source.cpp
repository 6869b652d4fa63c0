#include "pointwork/data/byte_source.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

enum class Packing { none, gzip, bzip2, xz, zstd, zip, tar };

struct Known {
  Packing packing;
  const char* name;
  size_t offset;
  std::string_view magic;
  std::vector<std::string_view> endings, archive_endings;
};

const std::vector<Known>& known() {
  using namespace std::string_view_literals;
  static const std::vector<Known> all = {
      {Packing::gzip, "gzip", 0, "\x1f\x8b"sv, {".gz"}, {".tgz"}},
      {Packing::bzip2, "bzip2", 0, "BZh"sv, {".bz2"}, {".tbz2"}},
      {Packing::xz,
       "xz",
       0,
       "\xfd"
       "7zXZ\0"sv,
       {".xz"},
       {".txz"}},
      {Packing::zstd, "Zstandard", 0, "\x28\xb5\x2f\xfd"sv, {".zst"}, {".tzst"}},
      {Packing::zip, "zip", 0, "PK\x03\x04"sv, {}, {".zip"}},
      {Packing::tar, "tar", 257, "ustar"sv, {}, {".tar"}},
  };
  return all;
}

std::string lower_ending(const std::string& name) {
  std::string ending = std::filesystem::path(name).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return ending;
}

const Known* by_ending(const std::string& ending, bool archives) {
  for (const Known& one : known()) {
    const auto& list = archives ? one.archive_endings : one.endings;
    if (std::find(list.begin(), list.end(), ending) != list.end()) return &one;
  }
  return nullptr;
}

}  // namespace

bool is_compressed_name(const std::string& name) {
  return by_ending(lower_ending(name), false) != nullptr;
}

bool is_archive_name(const std::string& name) {
  const std::string inner =
      is_compressed_name(name) ? std::filesystem::path(name).stem().string() : name;
  return by_ending(lower_ending(inner), true) != nullptr;
}

std::string content_ending(const std::string& name) {
  if (is_archive_name(name)) return "";
  return lower_ending(is_compressed_name(name) ? std::filesystem::path(name).stem().string()
                                               : name);
}

struct ByteSource::Impl {
  std::filesystem::path path;
  std::string name;
  int file = -1;
  ::archive* packed = nullptr;
  bool opened = false;
  bool has_members = false;
  uint64_t plain_read = 0;

  ~Impl() {
    if (packed) archive_read_free(packed);
    if (file >= 0) ::close(file);
  }

  [[noreturn]] void damaged() const {
    const char* what = packed ? archive_error_string(packed) : nullptr;
    fail(name, ": damaged or cut short: ", what ? what : "its compressed data cannot be read");
  }

  size_t read_plain(char* to, size_t size) {
    size_t done = 0;
    while (done < size) {
      const ssize_t got = ::read(file, to + done, size - done);
      if (got < 0 && errno == EINTR) continue;
      check(got >= 0, path.string(), ": cannot be read: ", std::strerror(errno));
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  void open_packed() {
    packed = archive_read_new();
    check(packed != nullptr, "out of memory");
    archive_read_support_filter_gzip(packed);
    archive_read_support_filter_bzip2(packed);
    archive_read_support_filter_xz(packed);
    archive_read_support_filter_zstd(packed);
    archive_read_support_format_tar(packed);
    archive_read_support_format_zip(packed);
    archive_read_support_format_raw(packed);
    archive_read_support_format_empty(packed);
    if (archive_read_open_filename(packed, path.c_str(), 1 << 18) != ARCHIVE_OK) damaged();
  }
};

ByteSource::ByteSource(const std::filesystem::path& path) : impl_(std::make_unique<Impl>()) {
  impl_->path = path;
  impl_->name = path.string();
  impl_->file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check(impl_->file >= 0, path.string(), ": cannot be opened: ", std::strerror(errno));
  check(std::filesystem::is_regular_file(path), path.string(), ": not a regular file");

  char head[512];
  const std::string_view start(head, impl_->read_plain(head, sizeof head));
  check(::lseek(impl_->file, 0, SEEK_SET) == 0, path.string(), ": cannot be read twice");
  const std::string ending = lower_ending(impl_->name);
  const Known* promised = by_ending(ending, false);
  if (!promised) promised = by_ending(ending, true);
  // Two bytes of a token file may look like any magic number.
  if (ending == ".bin") return;
  for (const Known& one : known()) {
    if (start.size() < one.offset + one.magic.size() ||
        start.substr(one.offset, one.magic.size()) != one.magic)
      continue;
    impl_->open_packed();
    return;
  }
  check(start.empty() || !promised, path.string(), ": does not begin as ",
        promised ? promised->name : "", " data does");
}

ByteSource::~ByteSource() = default;

bool ByteSource::next() {
  if (!impl_->packed) {
    const bool first = !impl_->opened;
    impl_->opened = true;
    return first;
  }
  while (true) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(impl_->packed, &entry);
    if (status == ARCHIVE_EOF) return false;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) impl_->damaged();
    impl_->has_members = archive_format(impl_->packed) != ARCHIVE_FORMAT_RAW;
    if (!impl_->has_members) return true;
    if (archive_entry_filetype(entry) != AE_IFREG) continue;
    const char* member = archive_entry_pathname(entry);
    impl_->name = impl_->path.string() + ":" + (member ? member : "?");
    return true;
  }
}

bool ByteSource::archive() const { return impl_->has_members; }
const std::string& ByteSource::name() const { return impl_->name; }

size_t ByteSource::read(char* to, size_t size) {
  if (!impl_->packed) {
    const size_t got = impl_->read_plain(to, size);
    impl_->plain_read += got;
    return got;
  }
  size_t done = 0;
  while (done < size) {
    const la_ssize_t got = archive_read_data(impl_->packed, to + done, size - done);
    if (got == ARCHIVE_RETRY) continue;
    if (got < 0) impl_->damaged();
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

uint64_t ByteSource::consumed() const {
  return impl_->packed ? static_cast<uint64_t>(archive_filter_bytes(impl_->packed, -1))
                       : impl_->plain_read;
}

}  // namespace pointwork
