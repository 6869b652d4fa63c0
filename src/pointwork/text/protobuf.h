#pragma once
// The fields of one protobuf message, in order. Groups are refused.

#include <cstdint>
#include <string_view>

namespace pointwork {

class ProtobufReader {
 public:
  explicit ProtobufReader(std::string_view message) : rest_(message), size_(message.size()) {}

  // Steps to the next field; false at the end. Error where the message is cut off or damaged.
  bool next();

  uint32_t field() const { return field_; }
  // The value, by the kind that the caller expects; Error where the field is of another.
  uint64_t number() const;
  bool flag() const { return number() != 0; }
  float real() const;
  std::string_view bytes() const;

 private:
  uint64_t varint();
  std::string_view take(uint64_t length);
  size_t place() const { return size_ - rest_.size(); }

  std::string_view rest_;
  const size_t size_;
  uint32_t field_ = 0, kind_ = 0;
  uint64_t number_ = 0;
  std::string_view bytes_;
};

}  // namespace pointwork
