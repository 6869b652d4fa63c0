#include "pointwork/files/hash.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "pointwork/base/check.h"

namespace pointwork {

namespace {

std::string text_of(XXH128_hash_t hash) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

}  // namespace

struct Hasher::State {
  XXH3_state_t* state = XXH3_createState();
  ~State() { XXH3_freeState(state); }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  check(state_->state != nullptr, "out of memory for a hash");
  XXH3_128bits_reset(state_->state);
}

Hasher::~Hasher() = default;

void Hasher::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->state, bytes.data(), bytes.size());
}

std::string Hasher::digest() const { return text_of(XXH3_128bits_digest(state_->state)); }

std::string hash_bytes(std::span<const std::byte> bytes) {
  return text_of(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string hash_file(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check(file >= 0, path.string(), ": cannot be read: ", std::strerror(errno));
  Hasher hasher;
  std::vector<std::byte> buffer(1 << 20);
  while (true) {
    const ssize_t count = ::read(file, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      const int error = errno;
      ::close(file);
      fail(path.string(), ": cannot be read: ", std::strerror(error));
    }
    if (count == 0) {
      break;
    }
    hasher.update({buffer.data(), static_cast<size_t>(count)});
  }
  ::close(file);
  return hasher.digest();
}

}  // namespace pointwork
