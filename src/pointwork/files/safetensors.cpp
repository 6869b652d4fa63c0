#include "pointwork/files/safetensors.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "pointwork/base/check.h"
#include "pointwork/files/hash.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kLongestHeader = uint64_t{16} << 20;
constexpr size_t kDeepest = 8, kHighestRank = 8, kLongestName = 512;

const std::map<std::string, int64_t>& dtypes() {
  static const std::map<std::string, int64_t> sizes = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2},
      {"I8", 1},  {"U64", 8}, {"U32", 4}, {"U16", 2},  {"U8", 1},  {"BOOL", 1}};
  return sizes;
}

// A parser that notes what nlohmann::json would let pass: duplicate keys and great depth.
Json parse_header(const std::string& where, std::string_view text) {
  std::vector<std::set<std::string>> keys;
  std::string wrong;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (static_cast<size_t>(depth) > kDeepest) wrong = "is nested too deeply";
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get<std::string>()).second) {
      wrong = concat("has the key '", parsed.get<std::string>().substr(0, 80), "' twice");
    }
    return true;
  };
  Json header;
  try {
    header = Json::parse(text.begin(), text.end(), watch);
  } catch (const nlohmann::json::exception&) {
    fail(where, "its header is not valid JSON");
  }
  check(wrong.empty(), where, "its header ", wrong);
  return header;
}

uint64_t whole(const std::string& where, const std::string& what, const Json& value) {
  check(value.is_number_unsigned(), where, what, " must be a whole number of at least 0, found ",
        value.dump().substr(0, 40));
  return value.get<uint64_t>();
}

TensorEntry read_entry(const std::string& where, const std::string& name, const Json& value) {
  TensorEntry entry;
  entry.name = name;
  check(name.size() <= kLongestName, where, "a tensor's name has ", name.size(),
        " bytes, more than ", kLongestName);
  const std::string here = concat(where, "tensor '", name, "': ");
  check(value.is_object() && value.size() == 3 && value.contains("dtype") &&
            value.contains("shape") && value.contains("data_offsets"),
        here, "must have exactly dtype, shape and data_offsets");
  check(value["dtype"].is_string() && dtype_bytes(value["dtype"].get<std::string>()) > 0, here,
        "unknown dtype ", value["dtype"].dump().substr(0, 40));
  entry.dtype = value["dtype"].get<std::string>();
  check(value["shape"].is_array() && value["shape"].size() <= kHighestRank, here,
        "shape must be a list of at most ", kHighestRank, " sizes");
  uint64_t size = static_cast<uint64_t>(dtype_bytes(entry.dtype));
  for (const Json& extent : value["shape"]) {
    const uint64_t n = whole(here, "a size", extent);
    check(n <= INT64_MAX && !__builtin_mul_overflow(size, n, &size), here,
          "its shape has more elements than can be counted");
    entry.shape.push_back(static_cast<int64_t>(n));
  }
  const Json& offsets = value["data_offsets"];
  check(offsets.is_array() && offsets.size() == 2, here,
        "data_offsets must be a list of two offsets");
  entry.begin = whole(here, "an offset", offsets[0]);
  entry.end = whole(here, "an offset", offsets[1]);
  check(entry.begin <= entry.end && entry.end - entry.begin == size, here, "its offsets [",
        entry.begin, ", ", entry.end, "] do not hold the ", size, " bytes of its shape");
  return entry;
}

}  // namespace

int64_t dtype_bytes(const std::string& dtype) {
  const auto found = dtypes().find(dtype);
  return found == dtypes().end() ? 0 : found->second;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const std::string where = path.string() + ": ";
  const std::span<const std::byte> all = file_.bytes();
  check(all.size() >= 8, where, "not a safetensors file: it has ", all.size(),
        " bytes, fewer than the 8 of a header's length");
  uint64_t length = 0;
  std::memcpy(&length, all.data(), 8);
  check(length <= kLongestHeader && length <= all.size() - 8, where,
        "not a safetensors file, or cut short: its header would have ", length,
        " bytes, the file has ", all.size());
  data_ = 8 + length;
  const std::string_view text(reinterpret_cast<const char*>(all.data()) + 8, length);
  check(!text.empty() && text.front() == '{', where,
        "not a safetensors file: its header must begin with '{'");
  const size_t last = text.find_last_not_of(' ');
  check(text[last] == '}', where, "its header must end with '}' and spaces alone");

  const Json header = parse_header(where, text.substr(0, last + 1));
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      tensors_.push_back(read_entry(where, name, value));
      continue;
    }
    check(value.is_object(), where, "__metadata__ must be a table of texts");
    for (const auto& [key, text_value] : value.items()) {
      check(text_value.is_string(), where, "__metadata__.", key.substr(0, 80), " must be text");
      metadata_[key] = text_value.get<std::string>();
    }
  }
  std::stable_sort(tensors_.begin(), tensors_.end(),
                   [](const TensorEntry& a, const TensorEntry& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  uint64_t at = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorEntry& entry = tensors_[i];
    check(entry.begin == at, where, "tensor '", entry.name, "' begins at byte ", entry.begin,
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

std::string write_safetensors(const std::filesystem::path& path,
                              const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t at = 0;
  for (const TensorView& tensor : tensors) {
    uint64_t size = static_cast<uint64_t>(dtype_bytes(tensor.dtype));
    for (const int64_t extent : tensor.shape) size *= static_cast<uint64_t>(extent);
    check(size == tensor.bytes.size() && dtype_bytes(tensor.dtype) > 0 &&
              !header.contains(tensor.name),
          "[write_safetensors] tensor '", tensor.name, "' of dtype ", tensor.dtype, " has ",
          tensor.bytes.size(), " bytes, not ", size, ", or its name is taken");
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {at, at + size}}};
    at += size;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();

  Hasher hasher;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wbxe"),
                                                       std::fclose);
  check(file != nullptr, path.string(), ": cannot be written: ", std::strerror(errno));
  const auto write = [&](const void* data, size_t size) {
    hasher.update({static_cast<const std::byte*>(data), size});
    if (size == 0 || std::fwrite(data, 1, size, file.get()) == size) return;
    const std::string why = std::strerror(errno);
    file.reset();
    std::filesystem::remove(path);
    fail(path.string(), ": cannot be written: ", why);
  };
  write(&length, 8);
  write(text.data(), text.size());
  for (const TensorView& tensor : tensors) write(tensor.bytes.data(), tensor.bytes.size());
  if (std::fflush(file.get()) != 0) {
    const std::string why = std::strerror(errno);
    file.reset();
    std::filesystem::remove(path);
    fail(path.string(), ": cannot be written: ", why);
  }
  file.reset();
  fsync_path(path);
  return hasher.digest();
}

}  // namespace pointwork
