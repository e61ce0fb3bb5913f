#include "backends/cpu/kv_pages.h"

#include <algorithm>
#include <cstring>

namespace mlxd {
namespace {

// Large enough for huge pages to pay, small enough that growth is not a lump.
constexpr std::size_t kSlabBytes = std::size_t{64} << 20U;
constexpr std::size_t kPagesAhead = 8;  // a piece of 256 tokens
constexpr std::size_t kStateAlignment = 64;

std::size_t bytes_of_state(const LayerGroup& group) {
  const std::size_t bytes = static_cast<std::size_t>(group.state_floats) * sizeof(float);
  return (bytes + kStateAlignment - 1) / kStateAlignment * kStateAlignment;
}

}  // namespace

KvPages::KvPages(const LayerGroup& group, KvFormat format, bool touch)
    : layout_(format, group.head_dim),
      num_kv_heads_(group.num_kv_heads),
      state_bytes_(bytes_of_state(group)),
      page_bytes_(static_cast<std::size_t>(group.num_layers) *
                  (group.kind == LayerGroupKind::kRecurrent
                       ? state_bytes_
                       : layout_.num_bytes * static_cast<std::size_t>(group.num_kv_heads))),
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
  if (touch_) touch(static_cast<std::size_t>(num_pages_), num_pages);
  return {};
}

/// Pages [first, last).
void KvPages::touch(std::size_t first, std::size_t last) {
  for (std::size_t page = first; page < last;) {
    const std::size_t in_slab = page % slab_pages();
    const std::size_t count = std::min(slab_pages() - in_slab, last - page);
    slabs_[page / slab_pages()].touch(in_slab * page_bytes_, count * page_bytes_);
    page += count;
  }
  num_touched_ = std::max(num_touched_, last);
}

void KvPages::touch_ahead(PageId used) {
  num_touched_ = std::max(num_touched_, std::size_t{used} + 1);
  const std::size_t wanted =
      std::min(std::size_t{used} + 1 + kPagesAhead, static_cast<std::size_t>(num_pages_));
  if (num_touched_ < wanted) touch(num_touched_, num_touched_ + 1);
}

void KvPages::shrink(std::size_t num_pages) {
  num_touched_ = std::min(num_touched_, num_pages);
  slabs_.resize((num_pages + slab_pages() - 1) / slab_pages());
  const std::size_t kept = num_pages % slab_pages();
  if (kept > 0) slabs_.back().release(kept * page_bytes_, (slab_pages() - kept) * page_bytes_);
}

void KvPages::copy(PageId from, PageId to) {
  if (from != to) std::memcpy(page_data(to), page_data(from), page_bytes_);
}

}  // namespace mlxd
