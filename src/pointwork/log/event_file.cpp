#include "pointwork/log/event_file.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t rest = i;
    for (int bit = 0; bit < 8; ++bit) rest = rest >> 1 ^ (rest & 1 ? 0x82F63B78u : 0);
    table[i] = rest;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kCrcTable = crc_table();

// TFRecord stores checksums rotated and offset, so that a checksum of data holding checksums stays
// strong.
uint32_t masked(uint32_t crc) { return std::rotr(crc, 15) + 0xA282EAD8u; }

template <class Number>
void put_fixed(std::string& out, Number value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

enum class Wire : uint64_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

void put_key(std::string& out, uint64_t field, Wire wire) {
  put_varint(out, field << 3 | static_cast<uint64_t>(wire));
}

void put_bytes(std::string& out, uint64_t field, std::string_view bytes) {
  put_key(out, field, Wire::bytes);
  put_varint(out, bytes.size());
  out += bytes;
}

// Field numbers of event.proto and summary.proto.
enum EventField : uint64_t {
  kWallTime = 1,
  kStep = 2,
  kFileVersion = 3,
  kSummary = 5,
  kSessionLog = 7
};
enum SummaryField : uint64_t { kValue = 1 };
enum ValueField : uint64_t { kTag = 1, kSimpleValue = 2 };
enum SessionLogField : uint64_t { kStatus = 1 };
constexpr uint64_t kSessionStart = 1;

std::string event_at(double wall_time, int64_t step) {
  std::string event;
  put_key(event, kWallTime, Wire::fixed64);
  put_fixed(event, wall_time);
  if (step != 0) {
    put_key(event, kStep, Wire::varint);
    put_varint(event, static_cast<uint64_t>(step));
  }
  return event;
}

double wall_time() {
  using Clock = std::chrono::system_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes)
    crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

std::string framed_record(std::string_view data) {
  std::string record;
  put_fixed(record, static_cast<uint64_t>(data.size()));
  put_fixed(record, masked(crc32c(record)));
  record += data;
  put_fixed(record, masked(crc32c(data)));
  return record;
}

std::string version_event(double wall_time) {
  std::string event = event_at(wall_time, 0);
  put_bytes(event, kFileVersion, "brain.Event:2");
  return event;
}

std::string scalar_event(double wall_time, int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    put_bytes(value, kTag, tag);
    put_key(value, kSimpleValue, Wire::fixed32);
    put_fixed(value, static_cast<float>(number));
    put_bytes(summary, kValue, value);
  }
  std::string event = event_at(wall_time, step);
  put_bytes(event, kSummary, summary);
  return event;
}

std::string restart_event(double wall_time, int64_t step) {
  std::string log;
  put_key(log, kStatus, Wire::varint);
  put_varint(log, kSessionStart);
  std::string event = event_at(wall_time, step);
  put_bytes(event, kSessionLog, log);
  return event;
}

void EventFile::write(std::string_view event) {
  std::string records;
  if (!file_.is_open()) {
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0 || !*host) std::strcpy(host, "localhost");
    const double now = wall_time();
    // TensorBoard reads the files of a folder in the order of their names; hence ten digits first.
    const std::string stem =
        concat("events.out.tfevents.", static_cast<int64_t>(now), ".", host, ".", getpid(), ".");
    int number = 0;
    do {
      path_ = folder_ / (stem + std::to_string(number++));
    } while (!file_.open(path_, AppendFile::Start::new_file));
    records = framed_record(version_event(now));
  }
  file_.append(records + framed_record(event));
}

void EventFile::add(int64_t step, const Scalars& scalars) {
  write(scalar_event(wall_time(), step, scalars));
}

void EventFile::resume_at(int64_t step) { write(restart_event(wall_time(), step + 1)); }

}  // namespace pointwork
