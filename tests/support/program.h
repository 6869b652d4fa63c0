#pragma once
// Runs the `pointwork` program as a user would.

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pointwork::test {

struct ProgramResult {
  int status = 0;  // exit status, or 128 + the signal that ended it
  std::string out, err;
  double cpu_seconds = 0;  // of all its threads
  long long peak_memory_bytes = 0;
};

struct ProgramOptions {
  std::string input;                               // standard input
  std::map<std::string, std::string> environment;  // added
  double timeout = 120;                            // seconds, then SIGKILL
  int signal = 0;                                  // sent after `signal_after` seconds; 0: none
  double signal_after = 0;
  long long file_limit = 0;  // RLIMIT_FSIZE in bytes; 0: none
  // Called over and over while it runs, with the seconds since its start: may send it signals.
  std::function<void(int process, double seconds)> watch;
};

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const ProgramOptions& options = {});

}  // namespace pointwork::test
