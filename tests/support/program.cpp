#include "tests/support/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace pointwork::test {
namespace {

std::string take(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  std::filesystem::remove(path);
  return text.str();
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const ProgramOptions& options) {
  char name[] = "/tmp/pointwork-test-XXXXXX";
  const std::filesystem::path folder = mkdtemp(name);
  std::ofstream(folder / "in", std::ios::binary) << options.input;
  const std::string in = folder / "in", out = folder / "out", err = folder / "err";

  const pid_t child = fork();
  if (child == 0) {
    dup2(open(in.c_str(), O_RDONLY), 0);
    dup2(open(out.c_str(), O_WRONLY | O_CREAT, 0600), 1);
    dup2(open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
    for (const auto& [key, value] : options.environment) setenv(key.c_str(), value.c_str(), 1);
    if (options.file_limit > 0) {
      const rlimit limit{static_cast<rlim_t>(options.file_limit),
                         static_cast<rlim_t>(options.file_limit)};
      setrlimit(RLIMIT_FSIZE, &limit);
      signal(SIGXFSZ, SIG_IGN);
    }
    std::vector<char*> argv{const_cast<char*>(POINTWORK_PROGRAM)};
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    // Whoever runs the tests in the background may have had these ignored.
    for (const int number : {SIGINT, SIGTERM}) signal(number, SIG_DFL);
    execv(POINTWORK_PROGRAM, argv.data());
    _exit(127);
  }

  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  bool signalled = options.signal == 0;
  int status = 0;
  rusage usage{};
  while (wait4(child, &status, WNOHANG, &usage) == 0) {
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (!signalled && seconds >= options.signal_after) {
      kill(child, options.signal);
      signalled = true;
    }
    if (seconds > options.timeout) kill(child, SIGKILL);
    if (options.watch) options.watch(child, seconds);
    usleep(options.watch ? 200 : 2000);
  }
  ProgramResult result;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  result.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  result.peak_memory_bytes = 1024LL * usage.ru_maxrss;
  result.out = take(out);
  result.err = take(err);
  std::filesystem::remove_all(folder);
  return result;
}

}  // namespace pointwork::test
