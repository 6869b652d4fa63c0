#include "pointwork/text/protobuf.h"

#include <bit>
#include <cstring>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

enum Kind : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

}  // namespace

std::string_view ProtobufReader::take(uint64_t length) {
  check(length <= rest_.size(), "is damaged or cut off: at byte ", place(), " of ", size_,
        " something of ", length, " bytes should follow");
  const std::string_view taken = rest_.substr(0, length);
  rest_.remove_prefix(length);
  return taken;
}

uint64_t ProtobufReader::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(take(1)[0]);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  fail("is damaged: at byte ", place(), " of ", size_, " a number does not end");
}

bool ProtobufReader::next() {
  if (rest_.empty()) return false;
  const uint64_t tag = varint();
  kind_ = static_cast<uint32_t>(tag & 7);
  check(tag >> 3 > 0 && tag >> 3 < (uint64_t{1} << 29), "is damaged: at byte ", place(), " of ",
        size_, " stands no field");
  field_ = static_cast<uint32_t>(tag >> 3);
  switch (kind_) {
    case kVarint:
      number_ = varint();
      break;
    case kFixed64:
      bytes_ = take(8);
      break;
    case kBytes:
      bytes_ = take(varint());
      break;
    case kFixed32:
      bytes_ = take(4);
      break;
    default:
      fail("is damaged: at byte ", place(), " of ", size_, " field ", field_, " has no known kind");
  }
  return true;
}

uint64_t ProtobufReader::number() const {
  check(kind_ == kVarint, "is damaged: field ", field_, " is not a number");
  return number_;
}

float ProtobufReader::real() const {
  check(kind_ == kFixed32, "is damaged: field ", field_, " is not a float");
  uint32_t bits = 0;
  std::memcpy(&bits, bytes_.data(), sizeof bits);
  return std::bit_cast<float>(bits);
}

std::string_view ProtobufReader::bytes() const {
  check(kind_ == kBytes, "is damaged: field ", field_, " is not text");
  return bytes_;
}

}  // namespace pointwork
