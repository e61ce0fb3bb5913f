#include "backends/cpu/kv_pages.h"

#include <algorithm>
#include <cstring>

namespace mlxd {
namespace {

// Large enough for huge pages to pay, small enough that growth is not a lump.
constexpr std::size_t kSlabBytes = std::size_t{64} << 20U;

}  // namespace

KvPages::KvPages(std::span<const LayerGroup> groups, std::size_t element_bytes) {
  for (const LayerGroup& group : groups) {
    GroupLayout layout;
    layout.offset = page_bytes_;
    layout.num_kv_heads = group.num_kv_heads;
    layout.block_bytes = 2 * element_bytes * static_cast<std::size_t>(kPageTokens * group.head_dim);
    page_bytes_ += layout.block_bytes * static_cast<std::size_t>(group.num_layers) *
                   static_cast<std::size_t>(group.num_kv_heads);
    groups_.push_back(layout);
  }
  while ((page_bytes_ << (slab_shift_ + 1)) <= kSlabBytes && slab_shift_ < 16) ++slab_shift_;
}

Result<void> KvPages::allocate(std::int32_t num_pages) {
  const std::size_t slab_pages = std::size_t{1} << slab_shift_;
  const std::size_t num_slabs =
      (static_cast<std::size_t>(std::max(num_pages, 0)) + slab_pages - 1) / slab_pages;
  // Asked for at once, what the system does not have is refused at once.
  if (slabs_.size() < num_slabs)
    TRY(MemoryRegion::create((num_slabs - slabs_.size()) * slab_pages * page_bytes_));
  while (slabs_.size() < num_slabs) slabs_.push_back(TRY(MemoryRegion::create(slab_pages * page_bytes_)));
  num_pages_ = std::max(num_pages_, num_pages);
  return {};
}

void KvPages::copy(PageId from, PageId to) {
  if (from != to) std::memcpy(page_data(to), page_data(from), page_bytes_);
}

}  // namespace mlxd
