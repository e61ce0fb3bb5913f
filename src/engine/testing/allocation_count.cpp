#include "engine/testing/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::uint64_t> count{0};
}  // namespace

#if !defined(MLXD_SANITIZED)
void* operator new(std::size_t size) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace mlxd::testing {

bool counts_allocations() {
#if defined(MLXD_SANITIZED)
  return false;
#else
  return true;
#endif
}

std::uint64_t num_allocations() { return count.load(std::memory_order_relaxed); }

}  // namespace mlxd::testing
