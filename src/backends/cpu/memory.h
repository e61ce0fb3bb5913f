// A zeroed region of memory straight from the system, in huge pages where it offers them. Owns it; moving
// keeps addresses valid. Untouched parts cost nothing.
#pragma once

#include <cstddef>

#include "base/result.h"

namespace mlxd {

class MemoryRegion {
 public:
  /// Errors: kOutOfMemory.
  static Result<MemoryRegion> create(std::size_t num_bytes);

  MemoryRegion() = default;
  MemoryRegion(MemoryRegion&& other) noexcept;
  MemoryRegion& operator=(MemoryRegion&& other) noexcept;
  ~MemoryRegion();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

  /// Has the system back a range with memory now; contents stay.
  void touch(std::size_t offset, std::size_t num_bytes);
  /// Gives the memory behind a range back to the system, as far as it takes whole pages. The range stays
  /// usable; what it holds is undefined.
  void release(std::size_t offset, std::size_t num_bytes);

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace mlxd
