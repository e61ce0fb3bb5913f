#include "backends/cpu/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace mlxd {
namespace {

std::size_t system_page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

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

void MemoryRegion::touch(std::size_t offset, std::size_t num_bytes) {
  // Written, because a page that was only read has no memory of its own.
  const std::size_t unit = system_page_bytes();
  for (std::size_t i = offset / unit * unit; i < offset + num_bytes; i += unit) {
    volatile std::byte& first = data_[i];
    first = first;
  }
}

void MemoryRegion::release(std::size_t offset, std::size_t num_bytes) {
  const std::size_t unit = system_page_bytes();
  const std::size_t begin = (offset + unit - 1) / unit * unit;
  const std::size_t end = offset + num_bytes == size_ ? size_ : (offset + num_bytes) / unit * unit;
  if (begin >= end) return;
#if defined(__linux__)
  (void)madvise(data_ + begin, end - begin, MADV_DONTNEED);
#else
  (void)madvise(data_ + begin, end - begin, MADV_FREE);
#endif
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
