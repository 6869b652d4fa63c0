#pragma once
// The bytes of a file: plain, decompressed, or of one member of an archive after another.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace pointwork {

// Lower-case ending of the content: ".txt" for "a/B.TXT.gz"; "" for an archive or where there is
// none.
std::string content_ending(const std::string& name);
bool is_compressed_name(const std::string& name);
bool is_archive_name(const std::string& name);

class ByteSource {
 public:
  // Error if `path` cannot be read, or its ending promises a compression that its first bytes are
  // not.
  explicit ByteSource(const std::filesystem::path& path);
  ~ByteSource();

  bool next();           // the next member that is a file; a file that is no archive has one
  bool archive() const;  // members have names of their own
  const std::string& name() const;     // for messages: PATH, or PATH:MEMBER
  size_t read(char* to, size_t size);  // fills `to` unless the member ends; Error where the data is
                                       // damaged or cut short
  uint64_t consumed() const;           // bytes of the file on disk

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointwork
