#pragma once
// A file of tokens with the places where documents end. Little-endian:
//
//   bytes 0 .. 7    "PWTOKENS"
//         8 .. 11   version, 1
//        12 .. 15   bytes a token: 2 (uint16) or 4 (uint32)
//        16 .. 23   tokens N
//        24 .. 31   documents M that end in this shard
//        32 .. 63   XXH3-128 of everything from byte 64 on, 32 hexadecimal digits
//        64 ..      N tokens, zeros up to a multiple of 8, then M uint64: tokens of the shard
//        before and with each document's last
//
// A document may begin in one shard and end in a later one.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pointwork/files/file.h"

namespace pointwork {

inline constexpr uint32_t kShardVersion = 1;
inline constexpr int64_t kShardTokens = 100'000'000;
inline constexpr size_t kShardDocuments = size_t{1} << 20;

// 2 where every id fits, else 4.
int bytes_a_token(int64_t vocab_size);

struct ShardInfo {
  std::string file;  // name within the data set's folder
  int64_t tokens = 0;
  int64_t documents = 0;
  int64_t bytes = 0;  // of the file
  std::string hash;   // as in the header
  bool operator==(const ShardInfo&) const = default;
};

// Maps a shard. Error where header or size is wrong; the hash is not compared.
class Shard {
 public:
  explicit Shard(const std::filesystem::path& path);

  int64_t tokens() const { return info_.tokens; }
  int64_t documents() const { return info_.documents; }
  int token_bytes() const { return token_bytes_; }
  const ShardInfo& info() const { return info_; }
  const std::filesystem::path& path() const { return file_.path(); }

  // Tokens first .. first + out.size() - 1.
  void read(int64_t first, std::span<int32_t> out) const;
  std::span<const uint64_t> document_ends() const {
    return {ends_, static_cast<size_t>(info_.documents)};
  }

  std::string payload_hash() const;  // reads everything; to be compared with info().hash

 private:
  MappedFile file_;
  ShardInfo info_;
  int token_bytes_ = 0;
  const std::byte* tokens_ = nullptr;
  const uint64_t* ends_ = nullptr;
};

// Writes the shards NAME-00000.tokens, NAME-00001.tokens ... of one split. A shard is
// full at shard_tokens or kShardDocuments, which bounds the memory: a buffer, and 8 bytes for every
// document of the shard being written.
class ShardWriter {
 public:
  struct Options {
    std::filesystem::path folder;
    std::string name;  // "train"
    int token_bytes = 2;
    int64_t shard_tokens = kShardTokens;
  };
  explicit ShardWriter(Options options);
  ShardWriter(ShardWriter&&) noexcept;
  ~ShardWriter();

  void add(std::span<const int32_t> tokens);  // ids must fit token_bytes
  void end_document();
  // Closes the last shard. Nothing may be added afterwards.
  void finish();

  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return documents_; }
  const std::vector<ShardInfo>& shards() const { return shards_; }

 private:
  struct Open;
  void open();
  void close();

  Options options_;
  std::unique_ptr<Open> shard_;
  std::vector<ShardInfo> shards_;
  int64_t tokens_ = 0, documents_ = 0;
};

}  // namespace pointwork
