#include "backends/cpu/kv_pages.h"

#include <algorithm>
#include <cstring>

namespace mlxd {
namespace {

// Large enough for huge pages to pay, small enough that growth is not a lump.
constexpr std::size_t kSlabBytes = std::size_t{64} << 20U;

}  // namespace

KvPages::KvPages(const LayerGroup& group, KvFormat format, bool touch)
    : layout_(format, group.head_dim),
      num_kv_heads_(group.num_kv_heads),
      page_bytes_(layout_.num_bytes * static_cast<std::size_t>(group.num_layers) *
                  static_cast<std::size_t>(group.num_kv_heads)),
      touch_(touch) {
  while ((page_bytes_ << (slab_shift_ + 1)) <= kSlabBytes && slab_shift_ < 16) ++slab_shift_;
}

Result<void> KvPages::resize(std::int32_t num_pages) {
  const auto wanted = static_cast<std::size_t>(std::max(num_pages, 0));
  if (wanted >= static_cast<std::size_t>(num_pages_)) {
    TRY(grow(wanted));
  } else {
    shrink(wanted);
  }
  num_pages_ = static_cast<std::int32_t>(wanted);
  return {};
}

Result<void> KvPages::grow(std::size_t num_pages) {
  const std::size_t num_slabs = (num_pages + slab_pages() - 1) / slab_pages();
  std::vector<MemoryRegion> added;
  if (slabs_.size() < num_slabs) {
    const std::size_t missing = num_slabs - slabs_.size();
    // Asked for at once, what the system does not have is refused at once.
    TRY(MemoryRegion::create(missing * slab_pages() * page_bytes_));
    while (added.size() < missing) added.push_back(TRY(MemoryRegion::create(slab_pages() * page_bytes_)));
  }
  for (MemoryRegion& slab : added) slabs_.push_back(std::move(slab));
  if (!touch_) return {};
  for (std::size_t page = static_cast<std::size_t>(num_pages_); page < num_pages;) {
    const std::size_t first = page % slab_pages();
    const std::size_t count = std::min(slab_pages() - first, num_pages - page);
    slabs_[page / slab_pages()].touch(first * page_bytes_, count * page_bytes_);
    page += count;
  }
  return {};
}

void KvPages::shrink(std::size_t num_pages) {
  slabs_.resize((num_pages + slab_pages() - 1) / slab_pages());
  const std::size_t kept = num_pages % slab_pages();
  if (kept > 0) slabs_.back().release(kept * page_bytes_, (slab_pages() - kept) * page_bytes_);
}

void KvPages::copy(PageId from, PageId to) {
  if (from != to) std::memcpy(page_data(to), page_data(from), page_bytes_);
}

}  // namespace mlxd
