#include "pointwork/train/block_cache.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "pointwork/base/check.h"

namespace pointwork {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kPage = 4096;
constexpr size_t kLarge = 64 << 10;  // below, malloc's own bins do the same
constexpr size_t kMostSlack = 2;     // a block serves requests down to a half of it

// Before each tensor's bytes.
struct alignas(kAlignment) Header {
  size_t bytes;  // of the block, this included
};

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

class BlockCache : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &give_back, c10::Device(c10::kCPU)};
    check(bytes < SIZE_MAX / 2, "out of memory: a tensor of ", bytes, " bytes was asked for");
    const bool large = bytes + sizeof(Header) >= kLarge;
    const size_t size = rounded(bytes + sizeof(Header), large ? kPage : kAlignment);
    Header* block = large ? take(size) : new_block(std::aligned_alloc(kAlignment, size), size);
    check(block != nullptr, "out of memory: a tensor of ", bytes, " bytes was asked for");
    return {block + 1, block + 1, &give_back, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }

 private:
  static Header* new_block(void* memory, size_t bytes) {
    if (memory) static_cast<Header*>(memory)->bytes = bytes;
    return static_cast<Header*>(memory);
  }

  static Header* map(size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return new_block(memory == MAP_FAILED ? nullptr : memory, bytes);
  }

  Header* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto found = free_.lower_bound(bytes);
    if (found != free_.end() && found->first <= kMostSlack * bytes) {
      Header* block = found->second;
      free_.erase(found);
      return block;
    }
    Header* block = map(bytes);
    if (block) return block;
    for (const auto& [size, idle] : free_) munmap(idle, size);
    free_.clear();
    return map(bytes);
  }

  static void give_back(void* bytes) {
    if (!bytes) return;
    Header* block = static_cast<Header*>(bytes) - 1;
    if (block->bytes < kLarge) {
      std::free(block);
      return;
    }
    auto& self = *static_cast<BlockCache*>(block_cache());
    const std::lock_guard lock(self.mutex_);
    self.free_.emplace(block->bytes, block);
  }

  std::mutex mutex_;
  std::multimap<size_t, Header*> free_;  // by size
};

}  // namespace

c10::Allocator* block_cache() {
  // Never destroyed: tensors of other statics may outlive it.
  static auto* cache = new BlockCache;
  return cache;
}

}  // namespace pointwork
