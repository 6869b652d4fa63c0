#pragma once
// The safetensors format, strictly: a header that lies about anything is refused before a byte of
// data is used.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "pointwork/files/file.h"
#include "pointwork/files/hash.h"

namespace pointwork {

struct TensorEntry {
  std::string name;
  std::string dtype;  // "F32", "BF16", "F64", "F16", "I64", "I32", "U8", "BOOL", "F8_E4M3", "F4" …
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // of its bytes, after the header
};

// Bits an element of a safetensors dtype; 0 where there is no such dtype.
int64_t dtype_bits(const std::string& dtype);

// A file mapped into memory. Error (one line that names file and tensor) unless: the header is
// UTF-8 JSON without duplicate keys, at most 16 MiB and 8 levels deep; every dtype is known, every
// rank at most 8, every name at most 512 bytes; begin and end fit shape and dtype; and the tensors
// lie end to end from the first byte of data to the last of the file.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  const std::vector<TensorEntry>& tensors() const {
    return tensors_;
  }  // in the order of their bytes
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const TensorEntry* find(const std::string& name) const;
  std::span<const std::byte> bytes(const TensorEntry& entry) const;
  void forget(std::span<const std::byte> part) const { file_.forget(part); }  // see MappedFile
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  MappedFile file_;
  std::vector<TensorEntry> tensors_;
  std::map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
  uint64_t data_ = 0;
};

// A tensor that is to be written.
struct TensorOutline {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
};

// Writes `path`, which must not exist: header at once, then the tensors' bytes in the given order
// as they are handed over, however cut. Error, and no file, if it cannot, or if SafetensorsFile
// would refuse to read it.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<TensorOutline>& tensors,
                    const std::map<std::string, std::string>& metadata = {});
  ~SafetensorsWriter();  // removes the file unless finish() was through
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  void append(std::span<const std::byte> bytes);
  // Error unless exactly the bytes of all tensors were appended. Fsyncs; returns the XXH3-128 of
  // the file.
  std::string finish();

 private:
  void write(const void* data, size_t size);
  [[noreturn]] void give_up();

  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
  Hasher hasher_;
  uint64_t left_ = 0;  // bytes still to come
};

// What is to be written; `bytes` must stay valid until then.
struct TensorView {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// All at once: Error too where a tensor has not the bytes of its shape.
std::string write_safetensors(const std::filesystem::path& path,
                              const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata = {});

// Bytes of a tensor. Error where dtype or shape are none that a file can hold.
uint64_t bytes_of(const TensorOutline& tensor);

}  // namespace pointwork
