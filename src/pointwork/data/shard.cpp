#include "pointwork/data/shard.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "pointwork/base/check.h"
#include "pointwork/files/hash.h"

namespace pointwork {
namespace {

constexpr char kMagic[] = "PWTOKENS";
constexpr size_t kHeader = 64, kHashDigits = 32;
constexpr size_t kBuffer = size_t{1} << 20;

struct Header {
  char magic[8];
  uint32_t version, token_bytes;
  uint64_t tokens, documents;
  char hash[kHashDigits];
};
static_assert(sizeof(Header) == kHeader);

uint64_t padded(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

}  // namespace

int bytes_a_token(int64_t vocab_size) { return vocab_size <= 65536 ? 2 : 4; }

Shard::Shard(const std::filesystem::path& path) : file_(path) {
  const std::string name = path.string();
  const auto bytes = file_.bytes();
  check(bytes.size() >= kHeader, name, ": must be at least ", kHeader, " bytes but is ",
        bytes.size(), ": cut short?");
  Header header;
  std::memcpy(&header, bytes.data(), kHeader);
  check(std::memcmp(header.magic, kMagic, sizeof header.magic) == 0, name,
        ": not a token shard of Pointwork");
  check(header.version == kShardVersion, name, ": shard version must be ", kShardVersion,
        " but is ", header.version);
  check(header.token_bytes == 2 || header.token_bytes == 4, name,
        ": bytes a token must be 2 or 4 but are ", header.token_bytes);
  // Compared by division, so that no count of a damaged header overflows.
  const uint64_t left = bytes.size() - kHeader;
  const bool fits = header.tokens <= left / header.token_bytes && header.documents <= left / 8;
  const uint64_t tokens_size = fits ? padded(header.tokens * header.token_bytes) : 0;
  check(fits && tokens_size + header.documents * 8 == left, name, ": its header says ",
        header.tokens, " tokens and ", header.documents,
        " documents, which does not fit its size of ", bytes.size(), " bytes: cut short?");
  token_bytes_ = static_cast<int>(header.token_bytes);
  info_ = {.file = path.filename().string(),
           .tokens = static_cast<int64_t>(header.tokens),
           .documents = static_cast<int64_t>(header.documents),
           .bytes = static_cast<int64_t>(bytes.size()),
           .hash = std::string(header.hash, kHashDigits)};
  tokens_ = bytes.data() + kHeader;
  ends_ = reinterpret_cast<const uint64_t*>(tokens_ + tokens_size);
}

void Shard::read(int64_t first, std::span<int32_t> out) const {
  check(first >= 0 &&
            static_cast<uint64_t>(first) + out.size() <= static_cast<uint64_t>(info_.tokens),
        path().string(), ": tokens ", first, " .. ", first + static_cast<int64_t>(out.size()),
        " asked for, ", info_.tokens, " there");
  const std::byte* from = tokens_ + first * token_bytes_;
  if (token_bytes_ == 4) {
    std::memcpy(out.data(), from, out.size() * 4);
    return;
  }
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t id;
    std::memcpy(&id, from + 2 * i, 2);
    out[i] = id;
  }
}

std::string Shard::payload_hash() const { return hash_bytes(file_.bytes().subspan(kHeader)); }

struct ShardWriter::Open {
  std::filesystem::path path;
  int file = -1;
  std::vector<std::byte> buffer;
  std::vector<uint64_t> ends;
  uint64_t tokens = 0;
  Hasher hasher;

  explicit Open(std::filesystem::path where) : path(std::move(where)) {
    file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    check(file >= 0, path.string(), ": cannot be created: ", std::strerror(errno));
    buffer.reserve(kBuffer);
    const std::array<std::byte, kHeader> room{};
    write(room);
  }
  ~Open() {
    if (file >= 0) ::close(file);
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t done = ::write(file, bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      check(done >= 0, path.string(), ": cannot be written: ", std::strerror(errno));
      bytes = bytes.subspan(static_cast<size_t>(done));
    }
  }

  void flush() {
    hasher.update(buffer);
    write(buffer);
    buffer.clear();
  }

  void put(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const size_t part = std::min(bytes.size(), kBuffer - buffer.size());
      buffer.insert(buffer.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(part));
      bytes = bytes.subspan(part);
      if (buffer.size() == kBuffer) flush();
    }
  }
};

ShardWriter::ShardWriter(Options options) : options_(std::move(options)) {}
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;
ShardWriter::~ShardWriter() = default;

void ShardWriter::open() {
  char name[32];
  std::snprintf(name, sizeof name, "-%05zu.tokens", shards_.size());
  shard_ = std::make_unique<Open>(options_.folder / (options_.name + name));
}

void ShardWriter::close() {
  const uint64_t tokens_size = shard_->tokens * static_cast<uint64_t>(options_.token_bytes);
  const std::array<std::byte, 8> zeros{};
  shard_->put(std::span(zeros).first(padded(tokens_size) - tokens_size));
  shard_->put(std::as_bytes(std::span(shard_->ends)));
  shard_->flush();

  ShardInfo info{
      .file = shard_->path.filename().string(),
      .tokens = static_cast<int64_t>(shard_->tokens),
      .documents = static_cast<int64_t>(shard_->ends.size()),
      .bytes = static_cast<int64_t>(kHeader + padded(tokens_size) + 8 * shard_->ends.size()),
      .hash = shard_->hasher.digest()};
  Header header{.version = kShardVersion,
                .token_bytes = static_cast<uint32_t>(options_.token_bytes),
                .tokens = shard_->tokens,
                .documents = shard_->ends.size()};
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  check(info.hash.size() == kHashDigits, "a hash must have ", kHashDigits, " digits");
  std::memcpy(header.hash, info.hash.data(), kHashDigits);
  const ssize_t done = ::pwrite(shard_->file, &header, kHeader, 0);
  check(done == static_cast<ssize_t>(kHeader), shard_->path.string(),
        ": cannot be written: ", std::strerror(errno));
  const int closed = ::close(std::exchange(shard_->file, -1));
  check(closed == 0, shard_->path.string(), ": cannot be written: ", std::strerror(errno));
  shards_.push_back(std::move(info));
  shard_.reset();
}

void ShardWriter::add(std::span<const int32_t> tokens) {
  while (!tokens.empty()) {
    if (shard_ && (shard_->tokens == static_cast<uint64_t>(options_.shard_tokens) ||
                   shard_->ends.size() >= kShardDocuments))
      close();
    if (!shard_) open();
    const size_t room = static_cast<size_t>(options_.shard_tokens) - shard_->tokens;
    const auto part = tokens.first(std::min(tokens.size(), room));
    if (options_.token_bytes == 4) {
      shard_->put(std::as_bytes(part));
    } else {
      std::array<uint16_t, 4096> narrow;
      for (size_t at = 0; at < part.size(); at += narrow.size()) {
        const size_t count = std::min(narrow.size(), part.size() - at);
        for (size_t i = 0; i < count; ++i) narrow[i] = static_cast<uint16_t>(part[at + i]);
        shard_->put(std::as_bytes(std::span(narrow).first(count)));
      }
    }
    shard_->tokens += part.size();
    tokens_ += static_cast<int64_t>(part.size());
    tokens = tokens.subspan(part.size());
  }
}

void ShardWriter::end_document() {
  check(shard_ != nullptr, "a document without tokens cannot end");
  shard_->ends.push_back(shard_->tokens);
  ++documents_;
}

void ShardWriter::finish() {
  if (shard_) close();
}

}  // namespace pointwork
