#include "pointwork/data/shard.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "pointwork/data/permutation.h"
#include "tests/data/cases.h"

namespace pointwork::test {
namespace {

TEST(Shard, WhatIsWrittenIsRead) {
  for (const int bytes : {2, 4}) {
    const TemporaryFolder folder;
    ShardWriter writer(
        {.folder = folder.path(), .name = "train", .token_bytes = bytes, .shard_tokens = 10});
    std::vector<int32_t> all;
    for (int document = 0; document < 7; ++document) {
      std::vector<int32_t> ids;
      for (int i = 0; i <= document; ++i) ids.push_back(bytes == 2 ? 65535 - i : 1000000 + i);
      writer.add(ids);
      writer.end_document();
      all.insert(all.end(), ids.begin(), ids.end());
    }
    writer.finish();
    EXPECT_EQ(writer.tokens(), 28);
    EXPECT_EQ(writer.documents(), 7);
    ASSERT_EQ(writer.shards().size(), 3u);
    std::vector<int32_t> read;
    std::vector<uint64_t> ends;
    for (const ShardInfo& info : writer.shards()) {
      const Shard shard(folder / info.file);
      EXPECT_EQ(shard.info(), info);
      EXPECT_EQ(shard.payload_hash(), info.hash);
      for (const uint64_t end : shard.document_ends()) ends.push_back(read.size() + end);
      std::vector<int32_t> ids(static_cast<size_t>(shard.tokens()));
      shard.read(0, ids);
      read.insert(read.end(), ids.begin(), ids.end());
      EXPECT_THROW(shard.read(1, ids), Error);
    }
    EXPECT_EQ(read, all);
    EXPECT_EQ(ends, std::vector<uint64_t>({1, 3, 6, 10, 15, 21, 28}));
  }
}

TEST(Shard, EveryDamageIsNoticed) {
  const TemporaryFolder folder;
  ShardWriter writer({.folder = folder.path(), .name = "train"});
  writer.add(std::vector<int32_t>{1, 2, 3});
  writer.end_document();
  writer.finish();
  const ShardInfo info = writer.shards().at(0);
  const fs::path path = folder / info.file;
  const std::string whole = content_of(path);
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    write(path, damaged);
    bool noticed = false;
    try {
      const Shard shard(path);
      noticed = shard.info() != info || shard.payload_hash() != info.hash;
    } catch (const Error& error) {
      noticed = true;
      expect_in(error.what(), {path.string()});
    }
    EXPECT_TRUE(noticed) << "bit " << bit;
  }
  for (size_t size = 0; size < whole.size(); ++size) {
    write(path, whole.substr(0, size));
    EXPECT_THROW(Shard{path}, Error) << size;
  }
  write(path, whole + "x");
  EXPECT_THROW(Shard{path}, Error);
}

TEST(Shard, HeaderThatLiesAboutItsCountsIsRefused) {
  const TemporaryFolder folder;
  ShardWriter writer({.folder = folder.path(), .name = "train"});
  writer.add(std::vector<int32_t>{1, 2, 3, 4});
  writer.finish();
  const fs::path path = folder / writer.shards().at(0).file;
  std::string content = content_of(path);
  // 2^63 tokens of 2 bytes would wrap to none.
  content.replace(16, 8, std::string("\0\0\0\0\0\0\0\x80", 8));
  write(path, content);
  expect_in(error_of([&] { Shard shard(path); }), {"9223372036854775808 tokens"});
}

TEST(Shard, FullDiskIsSaid) {
  const TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, SIG_IGN);
    try {
      ShardWriter writer({.folder = folder.path(), .name = "train"});
      writer.add(std::vector<int32_t>(1 << 21, 7));
      writer.finish();
    } catch (const Error& error) {
      _exit(std::string(error.what()).find("cannot be written") != std::string::npos ? 17 : 18);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 17);
}

TEST(Permutation, IsABijectionThatTheKeyChooses) {
  for (const uint64_t n : {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097}) {
    std::vector<bool> seen(n, false);
    uint64_t fixed = 0, equal = 0;
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t at = permuted(i, n, 42);
      ASSERT_LT(at, n);
      EXPECT_FALSE(seen[at]);
      seen[at] = true;
      fixed += at == i;
      equal += at == permuted(i, n, 43);
    }
    // Of a random permutation, a Poisson(1) number stays in place.
    if (n < 100) continue;
    EXPECT_LE(fixed, 8u);
    EXPECT_LE(equal, 8u);
  }
  EXPECT_THROW(permuted(3, 3, 1), Error);
}

}  // namespace
}  // namespace pointwork::test
