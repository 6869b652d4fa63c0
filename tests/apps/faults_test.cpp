// What a user sees of files of others that lie; tests/files and tests/checkpoint try many more.

#include "tests/apps/world.h"
#include "tests/files/malformed.h"
#include "tests/support/cost.h"

namespace pointwork::test {
namespace {

TEST(Faults, OfSafetensorsAreToldInOneLineAtOnce) {
  const TemporaryFolder folder;
  const long long at_start = run_program({"--version"}).peak_memory_bytes;
  size_t tried = 0;
  for (const auto& [name, content, reason] : malformed()) {
    const bool large = content.size() > 5'000'000;  // where it could cost something
    const bool plain = ++tried % 16 == 0;
    if (!large && !plain) continue;
    const fs::path path = folder / "file.safetensors";
    put(path, content);
    expect_refused({plain ? "inspect" : "verify", path}, 1, {path, reason});
    const ProgramResult result = run_program({"verify", path, "--json"});
    EXPECT_EQ(Json::parse(result.out)["valid"], false);
    if (!kCostsCount) continue;
    EXPECT_LE(result.cpu_seconds, 1) << name;
    EXPECT_LE(result.peak_memory_bytes,
              at_start + 2 * static_cast<long long>(content.size()) + (64LL << 20))
        << name;
  }
}

}  // namespace
}  // namespace pointwork::test
