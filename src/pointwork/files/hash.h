#pragma once
// XXH3-128 guards against damage (not tampering). Printed as 32 hexadecimal digits.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace pointwork {

class Hasher {
 public:
  Hasher();
  ~Hasher();
  void update(std::span<const std::byte> bytes);
  std::string digest() const;  // 32 hexadecimal digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hash_bytes(std::span<const std::byte> bytes);
std::string hash_file(const std::filesystem::path& path);  // streams; Error if unreadable

}  // namespace pointwork
