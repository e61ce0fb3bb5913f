#include "backends/cpu/memory.h"

#include <sys/mman.h>

#include <string>
#include <utility>

namespace mlxd {

Result<MemoryRegion> MemoryRegion::create(std::size_t num_bytes) {
  MemoryRegion region;
  if (num_bytes == 0) return region;
  void* address = mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    return Error(ErrorKind::kOutOfMemory,
                 "cannot get " + std::to_string(num_bytes >> 20U) + " MB of memory from the system");
  }
#if defined(__linux__)
  // Only advice: small pages work too.
  (void)madvise(address, num_bytes, MADV_HUGEPAGE);
#endif
  region.data_ = static_cast<std::byte*>(address);
  region.size_ = num_bytes;
  return region;
}

MemoryRegion::MemoryRegion(MemoryRegion&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MemoryRegion& MemoryRegion::operator=(MemoryRegion&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MemoryRegion::~MemoryRegion() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace mlxd
