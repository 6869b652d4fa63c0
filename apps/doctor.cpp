// doctor: what this machine, build and LibTorch can do, and what is missing.

#include <ATen/Config.h>
#include <ATen/Parallel.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <cstdio>
#include <fstream>

#include "apps/common.h"
#include "apps/figures.h"
#include "pointwork/base/check.h"
#include "pointwork/train/machine.h"

namespace pointwork::app {
namespace {

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

Json features() {
  Json all = Json::object();
  all["avx2"] = static_cast<bool>(__builtin_cpu_supports("avx2"));
  all["fma"] = static_cast<bool>(__builtin_cpu_supports("fma"));
  all["avx512f"] = static_cast<bool>(__builtin_cpu_supports("avx512f"));
  all["avx512bf16"] = static_cast<bool>(__builtin_cpu_supports("avx512bf16"));
  return all;
}

int run(const Common& common) {
  const torch::Device device = choose_device(common);
  const bool quick = common.quiet;
  const double seconds = quick ? 0.2 : 1;
  Json missing = Json::array();
  if (!torch::cuda::is_available())
    missing.push_back(
        "CUDA: no device is used; with an NVIDIA GPU, `scripts/setup.sh --cuda` installs LibTorch "
        "for it");
  if (!at::hasMKL())
    missing.push_back(
        "MKL: this LibTorch was built without it, so matrix products are slow; `scripts/setup.sh` "
        "installs one that has it");
  const Json json = {
      {"version", POINTWORK_VERSION},
      {"processor", processor()},
      {"threads", at::get_num_threads()},
      {"features", features()},
      {"libtorch", TORCH_VERSION},
      {"mkl", at::hasMKL()},
      {"onednn", at::hasMKLDNN()},
      {"cuda", torch::cuda::is_available()},
      {"device", device.str()},
      {"gemm_flops_per_second",
       {{"float32", gemm_peak_flops_per_second(torch::kFloat32, device, seconds)},
        {"bfloat16", gemm_peak_flops_per_second(torch::kBFloat16, device, seconds)}}},
      {"copy_bytes_per_second", copy_bytes_per_second(device, seconds)},
      {"available_memory_bytes", available_memory_bytes(device)},
      {"missing", missing}};
  if (common.json) {
    print_json(json);
    return 0;
  }
  const auto rate = [&](const char* name) {
    return in_units(json["gemm_flops_per_second"][name].get<double>());
  };
  std::printf("pointwork %s, LibTorch %s (MKL %s, oneDNN %s, CUDA %s)\n", POINTWORK_VERSION,
              TORCH_VERSION, at::hasMKL() ? "yes" : "no", at::hasMKLDNN() ? "yes" : "no",
              torch::cuda::is_available() ? "yes" : "no");
  std::printf("%s, %d threads, %s of memory free\n", processor().c_str(), at::get_num_threads(),
              in_bytes(json["available_memory_bytes"].get<double>()).c_str());
  std::printf("instructions: avx2 %s, avx512 %s, avx512 bfloat16 %s\n",
              json["features"]["avx2"].get<bool>() ? "yes" : "no",
              json["features"]["avx512f"].get<bool>() ? "yes" : "no",
              json["features"]["avx512bf16"].get<bool>() ? "yes" : "no");
  std::printf("matrix products on %s: float32 %sFLOP/s, bfloat16 %sFLOP/s; copying %s/s\n",
              device.str().c_str(), rate("float32").c_str(), rate("bfloat16").c_str(),
              in_bytes(json["copy_bytes_per_second"].get<double>()).c_str());
  for (const Json& one : missing) std::printf("missing: %s\n", one.get<std::string>().c_str());
  return 0;
}

}  // namespace

Run add_doctor(CLI::App& command, Common& common) {
  command.footer(
      "Examples:\n"
      "  pointwork doctor\n"
      "  pointwork doctor --threads 1 --json");
  return [&common] { return run(common); };
}

}  // namespace pointwork::app
