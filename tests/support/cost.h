#pragma once
// What something takes, measured in a process of its own.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <fstream>
#include <string>

namespace pointwork::test {

struct Cost {
  std::string error;       // what it threw; "" where it returned, "killed by signal N"
  double cpu_seconds = 0;  // of all threads: others on the machine do not count
  long long bytes = 0;     // memory at its peak beyond that at its start, mapped files included
};

// Sanitizers and builds without optimisation take what they take.
inline constexpr bool kCostsCount =
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    true;
#else
    false;
#endif

inline long long memory_kib(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field)) return std::stoll(line.substr(field.size()));
  }
  return 0;
}

template <class Run>
Cost cost_of(Run run) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
    const long long before = memory_kib("VmRSS:");
    std::string text;
    try {
      run();
    } catch (const std::exception& error) {
      text = error.what();
    }
    text = std::to_string(memory_kib("VmHWM:") - before) + " " + text;
    const bool told = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t count = 0; (count = read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(count));
  close(ends[0]);
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  if (WIFSIGNALED(status)) return {.error = "killed by signal " + std::to_string(WTERMSIG(status))};
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  const size_t space = text.find(' ');
  return {.error = text.substr(space + 1),
          .cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime),
          .bytes = 1024 * std::stoll(text.substr(0, space))};
}

// A faulty file or folder of `bytes` is refused in one line, in a second, and with no more memory
// than twice its size and 64 MiB.
inline void expect_cheap_refusal(const Cost& cost, uintmax_t bytes) {
  EXPECT_FALSE(cost.error.empty()) << "it was taken";
  EXPECT_EQ(cost.error.find('\n'), std::string::npos) << cost.error;
  EXPECT_LT(cost.error.size(), 1500u) << cost.error;
  EXPECT_EQ(cost.error.rfind("killed by", 0), std::string::npos) << cost.error;
  if (!kCostsCount) return;
  EXPECT_LE(cost.cpu_seconds, 1);
  EXPECT_LE(cost.bytes, 2 * static_cast<long long>(bytes) + (64LL << 20));
}

}  // namespace pointwork::test
