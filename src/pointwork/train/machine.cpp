#include "pointwork/train/machine.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <torch/cuda.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include "pointwork/train/block_cache.h"

namespace pointwork {
namespace {

// A "Name:   123 kB" line of a file under /proc, in bytes; -1 where there is none.
int64_t proc_bytes(const char* file, const std::string& name) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind(name + ":", 0) == 0) return std::stoll(line.substr(name.size() + 1)) * 1024;
  }
  return -1;
}

template <class Work>
double best_seconds(torch::Device device, double seconds, const Work& work) {
  using Clock = std::chrono::steady_clock;
  const auto wait = [&] {
    if (device.is_cuda()) torch::cuda::synchronize();
  };
  work();
  wait();
  double best = 1e30;
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    work();
    wait();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
  return best;
}

}  // namespace

int64_t peak_memory_bytes(torch::Device device) {
  if (!device.is_cpu())
    return c10::getDeviceAllocator(device.type())
        ->getDeviceStats(device.index())
        .reserved_bytes[0]
        .peak;
  const int64_t peak = proc_bytes("/proc/self/status", "VmHWM");
  const int64_t files = proc_bytes("/proc/self/status", "RssFile");
  return std::max<int64_t>(0, peak - std::max<int64_t>(0, files));
}

void forget_peak_memory(torch::Device device) {
  if (device.is_cpu()) {
    std::ofstream("/proc/self/clear_refs") << "5";
  } else {
    c10::getDeviceAllocator(device.type())->resetPeakStats(device.index());
  }
}

int64_t available_memory_bytes(torch::Device device) {
  if (!device.is_cpu())
    return static_cast<int64_t>(
        c10::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).first);
  int64_t available = proc_bytes("/proc/meminfo", "MemAvailable");
  // A container's own limit; files it has read are dropped when memory is short.
  std::ifstream limit("/sys/fs/cgroup/memory.max"), used("/sys/fs/cgroup/memory.current");
  int64_t most = 0, now = 0;
  if (limit >> most && used >> now) {
    std::ifstream parts("/sys/fs/cgroup/memory.stat");
    std::string name;
    for (int64_t bytes = 0; parts >> name >> bytes;) {
      if (name == "inactive_file" || name == "active_file") now -= bytes;
    }
    available = std::min(available, most - now);
  }
  return available;
}

double gemm_peak_flops_per_second(torch::Dtype dtype, torch::Device device, double seconds) {
  const torch::NoGradGuard no_grad;
  const int64_t n = device.is_cuda() ? 8192 : 1024;
  const auto options = torch::TensorOptions().dtype(dtype).device(device);
  const auto a = torch::ones({n, n}, options), b = torch::ones({n, n}, options);
  auto c = torch::empty({n, n}, options);
  const double best = best_seconds(device, seconds, [&] { torch::mm_out(c, a, b); });
  return 2.0 * static_cast<double>(n * n * n) / best;
}

double copy_bytes_per_second(torch::Device device, double seconds) {
  const torch::NoGradGuard no_grad;
  const int64_t n = int64_t{1} << 26;
  const auto a = torch::ones({n}, torch::TensorOptions().device(device));
  auto b = torch::empty_like(a);
  const double best = best_seconds(device, seconds, [&] { b.copy_(a); });
  return 2.0 * 4.0 * static_cast<double>(n) / best;
}

void keep_freed_memory() { c10::SetAllocator(c10::kCPU, block_cache()); }

}  // namespace pointwork
