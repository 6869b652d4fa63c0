#include "pointwork/ops/device.h"

#include <atomic>
#include <cstdlib>

namespace pointwork {
namespace {

std::atomic<bool>& composite() {
  static std::atomic<bool> flag = [] {
    const char* text = std::getenv("POINTWORK_COMPOSITE");
    return text && *text && *text != '0';
  }();
  return flag;
}

}  // namespace

bool use_kernel(const Tensor& x) { return x.is_cpu() && !composite(); }

CompositeGuard::CompositeGuard() : before_(composite().exchange(true)) {}

CompositeGuard::~CompositeGuard() { composite() = before_; }

}  // namespace pointwork
