#include "pointwork/model/weightless.h"

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <new>

namespace pointwork {
namespace {

// As high as that of train/block_cache.h, so that either may follow the other.
constexpr uint8_t kPriority = 1;
constexpr size_t kLarge = size_t{1} << 20;  // bytes; what is smaller is allocated as ever

struct Mapping {
  void* begin;
  size_t size;
  ~Mapping() { munmap(begin, size); }
};

class AddressSpace : public c10::Allocator {
 public:
  explicit AddressSpace(c10::Allocator* small) : small_(small) {}

  c10::DataPtr allocate(size_t size) override {
    if (size < kLarge) return small_->allocate(size);
    void* begin = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (begin == MAP_FAILED) throw std::bad_alloc();
    return {begin, new Mapping{begin, size},
            [](void* mapping) { delete static_cast<Mapping*>(mapping); },
            c10::Device(c10::DeviceType::CPU)};
  }
  void copy_data(void* to, const void* from, size_t size) const override {
    std::memcpy(to, from, size);
  }

 private:
  c10::Allocator* small_;
};

}  // namespace

Weightless::Weightless() : before_(c10::GetCPUAllocator()) {
  // Tensors may outlive this object, the allocator must outlive them.
  static AddressSpace space(before_);
  c10::SetAllocator(c10::kCPU, &space, kPriority);
}

Weightless::~Weightless() { c10::SetAllocator(c10::kCPU, before_, kPriority); }

}  // namespace pointwork
