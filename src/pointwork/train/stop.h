#pragma once
// SIGINT and SIGTERM ask a loop to stop after its step; a second one ends the process at once,
// which loses nothing that was saved.

namespace pointwork {

// Installs the handlers for as long as it lives.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  static int received();  // the signal, or 0
};

}  // namespace pointwork
