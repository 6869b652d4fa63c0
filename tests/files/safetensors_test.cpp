#include "pointwork/files/safetensors.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "pointwork/files/hash.h"
#include "tests/files/cases.h"

namespace pointwork::test {
namespace {

struct Known {
  const char* dtype;
  int64_t bits;
};
constexpr Known kKnown[] = {{"F64", 64},    {"F32", 32},    {"F16", 16},    {"BF16", 16},
                            {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6},
                            {"F6_E3M2", 6}, {"F4", 4},      {"C64", 64},    {"I64", 64},
                            {"I32", 32},    {"I16", 16},    {"I8", 8},      {"U64", 64},
                            {"U32", 32},    {"U16", 16},    {"U8", 8},      {"BOOL", 8}};

// Tensors with bytes of their own, of all values.
struct Held {
  std::vector<TensorView> views;
  std::vector<std::unique_ptr<std::vector<std::byte>>> bytes;

  void add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape) {
    int64_t bits = dtype_bits(dtype);
    for (const int64_t n : shape) bits *= n;
    bytes.push_back(std::make_unique<std::vector<std::byte>>(static_cast<size_t>(bits / 8)));
    for (size_t i = 0; i < bytes.back()->size(); ++i)
      (*bytes.back())[i] = static_cast<std::byte>(i * 37 + bytes.size());
    views.push_back({name, dtype, shape, *bytes.back()});
  }
};

void expect_read_back(const fs::path& path, const Held& held,
                      const std::map<std::string, std::string>& metadata = {}) {
  const SafetensorsFile file(path);
  EXPECT_EQ(file.path(), path);
  EXPECT_EQ(file.metadata(), metadata);
  ASSERT_EQ(file.tensors().size(), held.views.size());
  uint64_t at = 0;
  for (const TensorEntry& entry : file.tensors()) {
    EXPECT_EQ(entry.begin, at) << entry.name;
    at = entry.end;
  }
  for (const TensorView& view : held.views) {
    const TensorEntry* entry = file.find(view.name);
    ASSERT_NE(entry, nullptr) << view.name;
    EXPECT_EQ(entry->name, view.name);
    EXPECT_EQ(entry->dtype, view.dtype);
    EXPECT_EQ(entry->shape, view.shape);
    const auto bytes = file.bytes(*entry);
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), view.bytes.begin(), view.bytes.end()))
        << view.name;
  }
}

TEST(Safetensors, ReadsBackEveryDtypeAndShape) {
  const TemporaryFolder folder;
  Held held;
  for (const auto& [dtype, bits] : kKnown) {
    EXPECT_EQ(dtype_bits(dtype), bits) << dtype;
    const std::string name = dtype;
    if (bits % 8 == 0) held.add(name + ".scalar", dtype, {});
    held.add(name + ".four", dtype, {4});
    held.add(name + ".none", dtype, {3, 0, 5});
    held.add(name + ".deep", dtype, {1, 2, 1, 2, 1, 2, 1, 1});
  }
  EXPECT_EQ(dtype_bits("F31"), 0);
  const std::string hash = write_safetensors(folder / "a", held.views);
  EXPECT_EQ(hash, hash_file(folder / "a"));
  expect_read_back(folder / "a", held);
}

TEST(Safetensors, ReadsBackMetadataAndOddNames) {
  const TemporaryFolder folder;
  Held held;
  for (const std::string& name :
       {std::string(""), std::string("größe \"x\"\n\t\\"), std::string("nul\0in", 6),
        std::string(512, 'n'), std::string("__metadata"), std::string("👩‍🚀")})
    held.add(name, "F32", {3});
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"", "größe\n"}};
  write_safetensors(folder / "a", held.views, metadata);
  expect_read_back(folder / "a", held, metadata);
}

TEST(Safetensors, OfNoTensorsIsAFileToo) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a", {});
  expect_read_back(folder / "a", {});
  write_safetensors(folder / "b", {}, {{"a", "b"}});
  expect_read_back(folder / "b", {}, {{"a", "b"}});
  EXPECT_EQ(SafetensorsFile(folder / "a").find("x"), nullptr);
}

TEST(Safetensors, AlignsTheDataAndIsWhatOthersRead) {
  const TemporaryFolder folder;
  Held held;
  held.add("b", "F32", {2});
  held.add("a", "U8", {3});
  write_safetensors(folder / "a", held.views, {{"k", "v"}});
  const std::string content = content_of(folder / "a");
  uint64_t length = 0;
  std::memcpy(&length, content.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(content.size(), 8 + length + 11);
  std::string header = content.substr(8, length);
  header.erase(header.find_last_not_of(' ') + 1);
  EXPECT_EQ(header,
            "{\"__metadata__\":{\"k\":\"v\"},"
            "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
            "\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]}}");
}

TEST(Safetensors, ReadsTensorsWhateverTheOrderOfTheHeader) {
  const TemporaryFolder folder;
  const std::string header =
      "{\"z\":{\"shape\":[1],\"data_offsets\":[0,1],\"dtype\":\"U8\"},"
      "\"a\":{\"data_offsets\":[2,4],\"dtype\":\"U8\",\"shape\":[2]},"
      "\"m\":{\"dtype\":\"U8\",\"data_offsets\":[1,2],\"shape\":[]}}  ";
  const uint64_t length = header.size();
  put(folder / "a", std::string(reinterpret_cast<const char*>(&length), 8) + header + "wxyz");
  const SafetensorsFile file(folder / "a");
  std::string order, data;
  for (const TensorEntry& entry : file.tensors()) {
    order += entry.name;
    for (const std::byte b : file.bytes(entry)) data += static_cast<char>(b);
  }
  EXPECT_EQ(order, "zma");
  EXPECT_EQ(data, "wxyz");
}

// 10^5 tensors: reading and writing must not be quadratic in them.
TEST(Safetensors, OfManyTensorsCostsLittle) {
  const TemporaryFolder folder;
  Held held;
  for (int i = 0; i < 100'000; ++i) held.add(concat("tensor.", i), "U8", {1});
  write_safetensors(folder / "a", held.views);
  const SafetensorsFile file(folder / "a");
  EXPECT_EQ(file.tensors().size(), 100'000u);
  EXPECT_NE(file.find("tensor.99999"), nullptr);
}

TEST(WriteSafetensors, RefusesWhatReadingWouldRefuse) {
  const TemporaryFolder folder;
  const std::vector<std::byte> eight(8);
  const auto error_for = [&](const std::vector<TensorView>& views,
                             const std::map<std::string, std::string>& metadata = {}) {
    return error_of([&] { write_safetensors(folder / "a", views, metadata); });
  };
  expect_in(error_for({{"x", "F31", {2}, eight}}), {"tensor 'x': unknown dtype F31"});
  expect_in(error_for({{"x", "F32", {3}, eight}}), {"it has 8 bytes, but F32 of its shape has 12"});
  expect_in(error_for({{"x", "F32", {-1}, eight}}), {"a size must be at least 0, found -1"});
  expect_in(error_for({{"x", "F4", {3}, eight}}), {"its 12 bits do not fill whole bytes"});
  expect_in(error_for({{"x", "F32", {INT64_MAX, INT64_MAX}, eight}}),
            {"more elements than can be counted"});
  expect_in(error_for({{"x", "F32", {1, 1, 1, 1, 1, 1, 1, 1, 2}, eight}}),
            {"at most 8 sizes, found 9"});
  expect_in(error_for({{"x", "F32", {2}, eight}, {"x", "F32", {2}, eight}}),
            {"tensor 'x': its name is taken"});
  expect_in(error_for({{"__metadata__", "F32", {2}, eight}}), {"its name is taken"});
  expect_in(error_for({{std::string(513, 'n'), "F32", {2}, eight}}),
            {"has 513 bytes, more than 512"});
  expect_in(error_for({{"\xff", "F32", {2}, eight}}), {"names and metadata must be UTF-8"});
  expect_in(error_for({}, {{"k", "\xff"}}), {"names and metadata must be UTF-8"});
  expect_in(error_for({}, {{"k", std::string(1 << 24, 'v')}}), {"more than 16777216"});
  EXPECT_EQ(names_in(folder.path()), Strings{});
}

TEST(WriteSafetensors, TakesBytesHoweverTheyAreCut) {
  const TemporaryFolder folder;
  std::vector<std::byte> bytes(24);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  const std::string want = write_safetensors(
      folder / "whole",
      {{"x", "F32", {4}, std::span(bytes).first(16)}, {"y", "F64", {1}, std::span(bytes).last(8)}});
  const std::vector<TensorOutline> outlines = {{"x", "F32", {4}}, {"y", "F64", {1}}};
  SafetensorsWriter writer(folder / "cut", outlines);
  for (const size_t at : {0, 1, 9, 20})
    writer.append(std::span(bytes).subspan(at, (at == 0   ? 1
                                                : at == 1 ? 9
                                                : at == 9 ? 20
                                                          : 24) -
                                                   at));
  EXPECT_EQ(writer.finish(), want);
  EXPECT_EQ(content_of(folder / "cut"), content_of(folder / "whole"));
  expect_in(error_of([&] {
              SafetensorsWriter short_one(folder / "short", outlines);
              short_one.append(std::span(bytes).first(20));
              short_one.finish();
            }),
            {"/short: 4 bytes of its tensors are missing"});
  expect_in(error_of([&] {
              SafetensorsWriter long_one(folder / "long", outlines);
              long_one.append(bytes);
              long_one.append(std::span(bytes).first(1));
            }),
            {"/long: more bytes than its tensors have"});
  EXPECT_EQ(names_in(folder.path()), (Strings{"cut", "whole"}));
}

TEST(WriteSafetensors, ThatFailsLeavesNoFile) {
  const TemporaryFolder folder;
  Held held;
  held.add("x", "F32", {100'000});
  {
    const FileLimit limit(100'000);
    expect_in(error_of([&] { write_safetensors(folder / "a", held.views); }),
              {"/a: cannot be written: File too large"});
  }
  expect_in(error_of([&] { write_safetensors(folder / "absent/a", held.views); }),
            {"absent/a: cannot be written: No such file or directory"});
  EXPECT_EQ(names_in(folder.path()), Strings{});
  put(folder / "a", "before");
  expect_in(error_of([&] { write_safetensors(folder / "a", held.views); }),
            {"/a: cannot be written: File exists"});
  EXPECT_EQ(content_of(folder / "a"), "before");
}

}  // namespace
}  // namespace pointwork::test
