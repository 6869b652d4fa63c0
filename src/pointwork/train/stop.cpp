#include "pointwork/train/stop.h"

#include <unistd.h>
#include <csignal>

namespace pointwork {
namespace {

volatile std::sig_atomic_t signal_received = 0;
struct sigaction before_int, before_term;

void on_signal(int number) {
  if (signal_received != 0) _exit(128 + number);
  signal_received = number;
}

}  // namespace

StopSignals::StopSignals() {
  signal_received = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &before_int);
  sigaction(SIGTERM, &action, &before_term);
}

StopSignals::~StopSignals() {
  sigaction(SIGINT, &before_int, nullptr);
  sigaction(SIGTERM, &before_term, nullptr);
}

int StopSignals::received() { return signal_received; }

}  // namespace pointwork
