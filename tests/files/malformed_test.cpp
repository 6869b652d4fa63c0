// Files that are almost safetensors: each is refused by its reason, at once, and without taking
// memory for what it declares.

#include <cstdlib>
#include <new>

#include "pointwork/files/safetensors.h"
#include "tests/files/cases.h"
#include "tests/files/malformed.h"
#include "tests/support/cost.h"

namespace {

size_t taken = 0;  // bytes asked for by new, freed or not

}  // namespace

// Not inlined: the compiler would see new and free() as no pair.
[[gnu::noinline]] void* operator new(size_t size) {
  taken += size;
  if (void* at = std::malloc(size ? size : 1)) return at;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* at) noexcept { std::free(at); }
[[gnu::noinline]] void operator delete(void* at, size_t) noexcept { std::free(at); }

namespace pointwork::test {
namespace {

// A tree of JSON takes some hundred bytes for each short token, and a parser a buffer or two.
constexpr size_t kMemoryPerByte = 100, kMemoryBesides = 64 << 10;

TEST(Malformed, IsRefusedByItsReasonAtOnceAndWithoutTakingMemory) {
  const TemporaryFolder folder;
  const std::vector<Malformed> all = malformed();
  EXPECT_GE(all.size(), 60u);
  for (const auto& [name, content, reason] : all) {
    SCOPED_TRACE(name);
    const fs::path path = put(folder / "file", content);
    const size_t before = taken;
    const std::string error = error_of([&] { SafetensorsFile opened(path); });
    EXPECT_LE(taken - before, kMemoryPerByte * content.size() + kMemoryBesides);
    EXPECT_EQ(error.rfind(path.string() + ": ", 0), 0u) << error;
    EXPECT_NE(error.find(reason), std::string::npos) << error;
    EXPECT_LT(error.size(), 500u) << error;
  }
}

TEST(Malformed, CostsLittle) {
  const TemporaryFolder folder;
  for (const auto& [name, content, reason] : malformed()) {
    SCOPED_TRACE(name);
    const fs::path path = put(folder / "file", content);
    expect_cheap_refusal(cost_of([&] { SafetensorsFile opened(path); }), content.size());
  }
}

std::string valid() {
  return file("{\"__metadata__\":{\"k\":\"v\"},\"a\":" + entry("[2,1]", "[0,8]", "\"F32\"") +
                  ",\"b\":" + entry("[]", "[8,9]") + ",\"c\":" + entry("[0,3]", "[9,9]") + "}  ",
              "abcdefghi");
}

TEST(Malformed, EveryCutAndEveryByteMoreIsRefused) {
  const TemporaryFolder folder;
  const std::string whole = valid();
  const fs::path path = put(folder / "file", whole + "x");
  EXPECT_THROW(SafetensorsFile{path}, Error);
  fs::resize_file(path, whole.size());
  EXPECT_EQ(SafetensorsFile(path).tensors().size(), 3u);
  for (size_t size = whole.size(); size-- > 0;) {
    fs::resize_file(path, size);
    EXPECT_THROW(SafetensorsFile{path}, Error) << size;
  }
}

// No byte of the header can be changed so that anything but an Error comes, or bytes outside of the
// file.
TEST(Malformed, AnyByteOfTheHeaderMayBeAnything) {
  const TemporaryFolder folder;
  const std::string whole = valid();
  const fs::path path = put(folder / "file", whole);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  int refused = 0, read = 0;
  for (size_t at = 0; at < whole.size() - 9; ++at) {
    for (int byte = 0; byte < 256; byte += at < 8 ? 1 : 3) {
      file.seekp(static_cast<std::streamoff>(at));
      file.put(static_cast<char>(byte)).flush();
      try {
        const SafetensorsFile opened(path);
        for (const TensorEntry& entry : opened.tensors())
          ASSERT_LE(opened.bytes(entry).size(), 9u) << at << ", " << byte;
        ++read;
      } catch (const Error&) {
        ++refused;
      }
    }
    file.seekp(static_cast<std::streamoff>(at));
    file.put(whole[at]).flush();
  }
  EXPECT_GT(refused, 10'000);
  EXPECT_GT(read, 100);  // letters of names and metadata
}

}  // namespace
}  // namespace pointwork::test
