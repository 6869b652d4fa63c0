// Memory stays flat on inputs of any size: the peak is measured in a process of its own.

#include <sys/wait.h>
#include <unistd.h>

#include "tests/data/cases.h"

namespace pointwork::test {
namespace {

int64_t status_kib(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field)) return std::stoll(line.substr(std::string(field).size() + 1));
  }
  return -1;
}

// A token for every four bytes.
TextEncoder coarse_encoder() {
  TextEncoder encoder = byte_encoder();
  encoder.encode = [](std::string_view text, std::vector<int32_t>& ids) {
    for (size_t i = 0; i < text.size(); i += 4) ids.push_back(static_cast<unsigned char>(text[i]));
  };
  return encoder;
}

// MiB that preparing adds to the process at its peak.
int64_t growth(const fs::path& input, const fs::path& out) {
  int channel[2];
  EXPECT_EQ(pipe(channel), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
    const int64_t before = status_kib("VmRSS:");
    int64_t grown = -1;
    try {
      PrepareOptions options{
          .inputs = {input}, .out = out, .source = {}, .threads = 2, .progress = {}};
      // A shard is mapped while a single document is split, and a mapped file counts.
      options.shard_tokens = 4'000'000;
      prepare(options, coarse_encoder());
      grown = (status_kib("VmHWM:") - before) >> 10;
    } catch (...) {
    }
    const bool told = ::write(channel[1], &grown, sizeof grown) == sizeof grown;
    _exit(told ? 0 : 1);
  }
  int64_t grown = -1;
  EXPECT_EQ(::read(channel[0], &grown, sizeof grown), static_cast<ssize_t>(sizeof grown));
  waitpid(child, nullptr, 0);
  close(channel[0]);
  close(channel[1]);
  EXPECT_GE(grown, 0);
  fs::remove_all(out);
  return grown;
}

// Of three runs: what is kept is kept in each, while how far threads run ahead differs.
int64_t least_growth(const fs::path& input, const fs::path& out) {
  return std::min({growth(input, out), growth(input, out), growth(input, out)});
}

void fill(const fs::path& path, int64_t mebibytes, bool lines) {
  std::ofstream out(path, std::ios::binary);
  std::string block;
  for (int i = 0; block.size() < (1u << 20); ++i)
    block += lines ? json_lines(1) : concat("some words ", i, "\n");
  for (int64_t i = 0; i < mebibytes; ++i) out << block;
}

TEST(Memory, StaysFlatAsInputsGrow) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer keeps freed memory";
#endif
  const TemporaryFolder folder;
  for (const bool lines : {false, true}) {
    const fs::path small = folder / (lines ? "small.jsonl" : "small.txt"),
                   large = folder / (lines ? "large.jsonl" : "large.txt");
    fill(small, 60, lines);
    fill(large, 240, lines);
    const int64_t few = least_growth(small, folder / "a"), many = least_growth(large, folder / "b");
    RecordProperty(lines ? "json_lines_small_mib" : "text_small_mib", static_cast<int>(few));
    RecordProperty(lines ? "json_lines_large_mib" : "text_large_mib", static_cast<int>(many));
    std::printf("%s: %lld MiB for 60, %lld MiB for 240\n", lines ? "JSON lines" : "text",
                static_cast<long long>(few), static_cast<long long>(many));
    EXPECT_LT(many, few + 24);
    EXPECT_LT(many, 96);
    fs::remove(large);
  }
}

}  // namespace
}  // namespace pointwork::test
