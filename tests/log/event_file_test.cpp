#include "pointwork/log/event_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "tests/support/data.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

template <class Number>
Number number_at(const std::string& bytes, size_t at) {
  Number value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// The records' data, each checksum checked.
std::vector<std::string> records_of(const fs::path& path) {
  const std::string bytes = read_file(path);
  const auto masked = [](std::string_view data) {
    const uint32_t crc = crc32c(data);
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
  };
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    const auto length = number_at<uint64_t>(bytes, at);
    EXPECT_EQ(number_at<uint32_t>(bytes, at + 8), masked(bytes.substr(at, 8)));
    records.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(number_at<uint32_t>(bytes, at + 12 + length), masked(records.back()));
    at += 16 + length;
  }
  return records;
}

// RFC 3720, B.4, and the check value of the catalogues of checksums.
TEST(EventFile, Crc32c) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(""), 0u);
}

// Written by the protocol buffers and record writer of the tensorboard 2.21 package.
TEST(EventFile, BytesAreThoseOfTensorBoard) {
  EXPECT_EQ(
      framed_record(version_event(1700000000.25)),
      from_hex("1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9"));
  EXPECT_EQ(
      framed_record(scalar_event(1700000001.5, 300, {{"loss", 3.25}, {"lr", 0.0003}})),
      from_hex("2600000000000000734fe3000900006040fc54d94110ac022a180a0b0a046c6f737315000050400a"
               "090a026c721552499d3965cc7c8c"));
  EXPECT_EQ(
      framed_record(scalar_event(1700000001.5, 0, {{"loss", 3.25}})),
      from_hex("1800000000000000a37f4b220900006040fc54d9412a0d0a0b0a046c6f73731500005040ed8b3f8b"));
  EXPECT_EQ(framed_record(restart_event(1700000002.0, 301)),
            from_hex("100000000000000095fbfe180900008040fc54d94110ad023a02080184a4031a"));
}

TEST(EventFile, StartsWithItsVersionAndIsMadeByTheFirstEvent) {
  test::TemporaryFolder folder;
  EventFile events(folder.path());
  EXPECT_TRUE(fs::is_empty(folder.path()));
  events.add(1, {{"loss", 2.5}});
  EXPECT_EQ(events.path().filename().string().find("events.out.tfevents."), 0u);
  EXPECT_EQ(records_of(events.path()).size(), 2u);  // there at once, not only at the end
  events.add(2, {{"loss", 1.5}});
  const auto records = records_of(events.path());
  ASSERT_EQ(records.size(), 3u);
  EXPECT_NE(records[0].find("brain.Event:2"), std::string::npos);
  EXPECT_NE(records[2].find("loss"), std::string::npos);
}

TEST(EventFile, AResumeWritesAFileOfItsOwn) {
  test::TemporaryFolder folder;
  std::set<fs::path> paths;
  for (int i = 0; i < 3; ++i) {
    EventFile events(folder.path());
    events.resume_at(7);
    events.add(8, {{"loss", 2.5}});
    paths.insert(events.path());
    const auto records = records_of(events.path());
    ASSERT_EQ(records.size(), 3u);
    // After the wall time: what older files say from step 8 on is void.
    EXPECT_EQ(records[1].substr(9), restart_event(0, 8).substr(9));
  }
  EXPECT_EQ(paths.size(), 3u);
}

TEST(EventFile, AMissingFolderIsNamed) {
  test::TemporaryFolder folder;
  EventFile events(folder / "none");
  try {
    events.add(1, {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("cannot write " + (folder / "none").string()), 0u);
    EXPECT_NE(std::string(error.what()).find("No such file or directory"), std::string::npos);
  }
}

}  // namespace
}  // namespace pointwork
