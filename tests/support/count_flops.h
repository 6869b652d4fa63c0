#pragma once
// FLOPs counted while operators run.

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace pointwork::test {

// What ran so far, and how many operators deep we are in one that was counted: what it is made of
// was counted with it.
struct FlopCount {
  double flops = 0;
  int inside = 0;
};
inline thread_local FlopCount* counting = nullptr;

// Two for each multiply-add of a product, and of attention for each pair that is not masked; -1 for
// anything else.
inline double operator_flops(const at::RecordFunction& call) {
  const std::string name = call.name();
  const auto tensor = [&](size_t argument) { return call.inputs()[argument].toTensor(); };
  const auto product = [&](size_t a, size_t b) {
    const double columns = tensor(b).dim() > 1 ? static_cast<double>(tensor(b).size(-1)) : 1;
    return 2 * static_cast<double>(tensor(a).numel()) * columns;
  };
  for (const char* plain : {"aten::mm", "aten::bmm", "aten::mv", "aten::dot"})
    if (name == plain) return product(0, 1);
  for (const char* added : {"aten::addmm", "aten::addmm_", "aten::baddbmm", "aten::addmv"})
    if (name == added) return product(1, 2);
  if (name != "aten::scaled_dot_product_attention") return -1;
  // Queries [B, H, n, hd], keys [B, K, m, hd], a mask [n, m] or none, and whether it is causal.
  const auto rows = static_cast<double>(tensor(0).size(2));
  double pairs = rows * static_cast<double>(tensor(1).size(2));
  if (call.inputs()[3].isTensor() && tensor(3).defined()) {
    EXPECT_EQ(tensor(3).dim(), 2);
    pairs = tensor(3).sum().item<double>();
  } else if (call.inputs()[5].toBool()) {
    EXPECT_EQ(tensor(0).size(2), tensor(1).size(2));
    pairs = rows * (rows + 1) / 2;
  }
  return 4 * static_cast<double>(tensor(0).numel()) / rows * pairs;
}

struct FlopEntry : at::ObserverContext {
  bool counted = false;
};

inline std::unique_ptr<at::ObserverContext> enter_operator(const at::RecordFunction& call) {
  auto entry = std::make_unique<FlopEntry>();
  FlopCount* const count = std::exchange(counting, nullptr);  // not what counting itself calls
  if (!count) return entry;
  const double flops = count->inside > 0 ? 0 : operator_flops(call);
  counting = count;
  if (flops < 0) return entry;
  count->flops += flops;
  ++count->inside;
  entry->counted = true;
  return entry;
}

inline void leave_operator(const at::RecordFunction&, at::ObserverContext* entry) {
  if (counting && static_cast<FlopEntry*>(entry)->counted) --counting->inside;
}

// Of the operators that `act` runs on this thread.
inline double counted_flops(const std::function<void()>& act) {
  struct Watch {
    at::CallbackHandle handle =
        at::addGlobalCallback(at::RecordFunctionCallback(enter_operator, leave_operator)
                                  .needsInputs(true)
                                  .scopes({at::RecordScope::FUNCTION}));
    ~Watch() {
      counting = nullptr;
      at::removeCallback(handle);
    }
  } watch;
  FlopCount count;
  counting = &count;
  act();
  counting = nullptr;
  EXPECT_EQ(count.inside, 0);
  return count.flops;
}

}  // namespace pointwork::test
