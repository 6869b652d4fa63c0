#include "pointwork/files/safetensors.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/files/strict_json.h"

namespace pointwork {
namespace {

// Its objects are trees: a header may have 10^5 keys.
using Json = nlohmann::json;

constexpr uint64_t kLongestHeader = uint64_t{16} << 20;
constexpr size_t kDeepest = 8, kHighestRank = 8, kLongestName = 512;
constexpr const char* kMetadata = "__metadata__";

const std::map<std::string, int64_t>& dtypes() {
  static const std::map<std::string, int64_t> bits = {
      {"F64", 64},    {"F32", 32},    {"F16", 16},    {"BF16", 16},   {"F8_E4M3", 8},
      {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},
      {"C64", 64},    {"I64", 64},    {"I32", 32},    {"I16", 16},    {"I8", 8},
      {"U64", 64},    {"U32", 32},    {"U16", 16},    {"U8", 8},      {"BOOL", 8}};
  return bits;
}

// Bytes of a tensor, by the rules of a header: a known dtype, a product that does not overflow
// even where one of its sizes is 0, and no broken byte.
uint64_t bytes_of(const std::string& here, const std::string& dtype,
                  const std::vector<int64_t>& shape) {
  const int64_t bits = dtype_bits(dtype);
  if (bits == 0) fail(here, "unknown dtype ", printable(dtype, 40));
  check(shape.size() <= kHighestRank, here, "shape must be a list of at most ", kHighestRank,
        " sizes, found ", shape.size());
  uint64_t product = static_cast<uint64_t>(bits);
  bool empty = false;
  for (const int64_t n : shape) {
    check(n >= 0, here, "a size must be at least 0, found ", n);
    empty = empty || n == 0;
    check(!__builtin_mul_overflow(product, static_cast<uint64_t>(std::max<int64_t>(n, 1)),
                                  &product) &&
              product <= INT64_MAX,
          here, "its shape has more elements than can be counted");
  }
  if (empty) return 0;
  check(product % 8 == 0, here, "its ", product, " bits do not fill whole bytes");
  return product / 8;
}

void check_name(const std::string& where, const std::string& name) {
  check(name.size() <= kLongestName, where, "a tensor's name has ", name.size(),
        " bytes, more than ", kLongestName);
}

uint64_t whole(const char* what, const Json& value) {
  if (!value.is_number_unsigned())
    fail(what, " must be a whole number of at least 0, found ", printable(value.dump(), 40));
  return value.get<uint64_t>();
}

// A header has up to a few hundred thousand entries, so errors' words are made where there is one.
void read_value(const Json& value, TensorEntry& entry) {
  check(value.is_object() && value.size() == 3 && value.contains("dtype") &&
            value.contains("shape") && value.contains("data_offsets"),
        "must have exactly dtype, shape and data_offsets");
  const Json &dtype = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
  if (!dtype.is_string()) fail("dtype must be text, found ", printable(dtype.dump(), 40));
  entry.dtype = dtype.get<std::string>();
  if (!shape.is_array()) fail("shape must be a list of sizes, found ", printable(shape.dump(), 40));
  for (const Json& extent : shape) {
    const uint64_t n = whole("a size", extent);
    check(n <= INT64_MAX, "its shape has more elements than can be counted");
    entry.shape.push_back(static_cast<int64_t>(n));
  }
  const uint64_t size = bytes_of("", entry.dtype, entry.shape);
  check(offsets.is_array() && offsets.size() == 2, "data_offsets must be a list of two offsets");
  entry.begin = whole("an offset", offsets[0]);
  entry.end = whole("an offset", offsets[1]);
  check(entry.begin <= entry.end && entry.end - entry.begin == size, "its offsets [", entry.begin,
        ", ", entry.end, "] do not hold the ", size, " bytes of its shape");
}

TensorEntry read_entry(const std::string& where, const std::string& name, const Json& value) {
  TensorEntry entry;
  entry.name = name;
  check_name(where, name);
  try {
    read_value(value, entry);
  } catch (const Error& error) {
    fail(where, "tensor '", printable(name), "': ", error.what());
  }
  return entry;
}

// The JSON text between a file's first 8 bytes and its data.
std::string_view header_of(const std::string& where, std::span<const std::byte> all) {
  check(all.size() >= 8, where, "not a safetensors file: it has ", all.size(),
        " bytes, fewer than the 8 of a header's length");
  uint64_t length = 0;
  std::memcpy(&length, all.data(), 8);
  check(length <= all.size() - 8, where,
        "not a safetensors file, or cut short: its header would have ", length,
        " bytes, the file has ", all.size());
  check(length <= kLongestHeader, where, "its header has ", length, " bytes, more than ",
        kLongestHeader);
  const std::string_view text(reinterpret_cast<const char*>(all.data()) + 8, length);
  check(!text.empty() && text.front() == '{', where,
        "not a safetensors file: its header must begin with '{'");
  const std::string_view json = text.substr(0, text.find_last_not_of(' ') + 1);
  check(json.back() == '}', where, "its header must end with '}' and spaces alone");
  return json;
}

// Each name of the header with its value, one at a time: the tree of a whole header of many tensors
// would take ten times its bytes.
void each_entry(std::string_view text,
                const std::function<void(const std::string&, const Json&)>& use) {
  std::string name;
  const auto heard = [&](int depth, Json::parse_event_t event, Json& value) {
    using Event = Json::parse_event_t;
    if (depth != 1 || event == Event::object_start || event == Event::array_start) return true;
    if (event == Event::key) {
      name = value.get<std::string>();
      return true;
    }
    use(name, value);
    return false;  // so it is forgotten
  };
  [[maybe_unused]] const Json nothing = Json::parse(text, heard);
}

}  // namespace

int64_t dtype_bits(const std::string& dtype) {
  const auto found = dtypes().find(dtype);
  return found == dtypes().end() ? 0 : found->second;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const std::string where = path.string() + ": ";
  const std::span<const std::byte> all = file_.bytes();
  const std::string_view text = header_of(where, all);
  std::memcpy(&data_, all.data(), 8);
  data_ += 8;

  const std::string fault = json_fault(text, kDeepest);
  check(fault.empty(), where, "its header ", fault);
  each_entry(text, [&](const std::string& name, const Json& value) {
    if (name != kMetadata) {
      tensors_.push_back(read_entry(where, name, value));
      return;
    }
    check(value.is_object(), where, kMetadata, " must be a table of texts");
    for (const auto& [key, text_value] : value.items()) {
      check(text_value.is_string(), where, kMetadata, ".", printable(key), " must be text");
      metadata_[key] = text_value.get<std::string>();
    }
  });
  std::stable_sort(tensors_.begin(), tensors_.end(),
                   [](const TensorEntry& a, const TensorEntry& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  uint64_t at = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorEntry& entry = tensors_[i];
    if (entry.begin != at)
      fail(where, "tensor '", printable(entry.name), "' begins at byte ", entry.begin,
           ", but must at ", at, ": tensors may neither overlap nor leave a hole");
    at = entry.end;
    index_[entry.name] = i;
  }
  check(at == all.size() - data_, where, "cut short or too long: its tensors have ", at,
        " bytes, the file holds ", all.size() - data_);
}

const TensorEntry* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorEntry& entry) const {
  return file_.bytes().subspan(data_ + entry.begin, entry.end - entry.begin);
}

namespace {

// What SafetensorsFile would refuse is not written. `total` becomes the bytes of all tensors.
std::string header_text(const std::string& where, const std::vector<TensorOutline>& tensors,
                        const std::map<std::string, std::string>& metadata, uint64_t& total) {
  nlohmann::ordered_json entry;
  std::set<std::string> names{kMetadata};
  std::string text = "{";
  try {
    if (!metadata.empty()) text += concat("\"", kMetadata, "\":", Json(metadata).dump(), ",");
    for (const TensorOutline& tensor : tensors) {
      const std::string here = concat(where, "tensor '", printable(tensor.name), "': ");
      check_name(where, tensor.name);
      check(names.insert(tensor.name).second, here, "its name is taken");
      const uint64_t size = bytes_of(here, tensor.dtype, tensor.shape);
      entry["dtype"] = tensor.dtype;
      entry["shape"] = tensor.shape;
      entry["data_offsets"] = {total, total + size};
      text += Json(tensor.name).dump() + ":" + entry.dump() + ",";
      total += size;
    }
  } catch (const nlohmann::json::exception&) {
    fail(where, "names and metadata must be UTF-8");
  }
  if (text.back() == ',') text.pop_back();
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  check(text.size() <= kLongestHeader, where, "its header would have ", text.size(),
        " bytes, more than ", kLongestHeader);
  return text;
}

}  // namespace

uint64_t bytes_of(const TensorOutline& tensor) {
  return bytes_of(concat("tensor '", printable(tensor.name), "': "), tensor.dtype, tensor.shape);
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<TensorOutline>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : path_(path) {
  const std::string text = header_text(path.string() + ": ", tensors, metadata, left_);
  const uint64_t length = text.size();
  file_ = std::fopen(path.c_str(), "wbxe");
  check(file_ != nullptr, path.string(), ": cannot be written: ", std::strerror(errno));
  write(&length, 8);
  write(text.data(), text.size());
}

SafetensorsWriter::~SafetensorsWriter() {
  if (!file_) return;
  std::fclose(file_);
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void SafetensorsWriter::give_up() {
  const std::string why = std::strerror(errno);
  std::fclose(std::exchange(file_, nullptr));
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
  fail(path_.string(), ": cannot be written: ", why);
}

void SafetensorsWriter::write(const void* data, size_t size) {
  hasher_.update({static_cast<const std::byte*>(data), size});
  if (size > 0 && std::fwrite(data, 1, size, file_) != size) give_up();
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  check(bytes.size() <= left_, path_.string(), ": more bytes than its tensors have");
  left_ -= bytes.size();
  write(bytes.data(), bytes.size());
}

std::string SafetensorsWriter::finish() {
  check(left_ == 0, path_.string(), ": ", left_, " bytes of its tensors are missing");
  if (std::fflush(file_) != 0 || fsync(fileno(file_)) != 0) give_up();
  std::fclose(std::exchange(file_, nullptr));
  return hasher_.digest();
}

std::string write_safetensors(const std::filesystem::path& path,
                              const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::vector<TensorOutline> outlines;
  for (const TensorView& tensor : tensors) {
    const std::string here = concat(path.string(), ": tensor '", printable(tensor.name, 40), "': ");
    const uint64_t size = bytes_of(here, tensor.dtype, tensor.shape);
    check(size == tensor.bytes.size(), here, "it has ", tensor.bytes.size(), " bytes, but ",
          tensor.dtype, " of its shape has ", size);
    outlines.push_back({tensor.name, tensor.dtype, tensor.shape});
  }
  SafetensorsWriter writer(path, outlines, metadata);
  for (const TensorView& tensor : tensors) writer.append(tensor.bytes);
  return writer.finish();
}

}  // namespace pointwork
