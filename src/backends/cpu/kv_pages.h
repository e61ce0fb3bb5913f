// Memory of the K/V pages, addressed by page id. A page holds, for each layer group, layer and K/V head, one
// contiguous block of kPageTokens keys followed by as many values; what a block looks like inside is the
// executor's affair. Memory grows by slabs, so that a page never moves. Owned by the engine thread; compute
// threads read and write blocks within a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backends/cpu/memory.h"
#include "base/result.h"
#include "engine/step_batch.h"
#include "model/model_spec.h"

namespace mlxd {

class KvPages {
 public:
  KvPages(std::span<const LayerGroup> groups, std::size_t element_bytes);

  std::size_t page_bytes() const { return page_bytes_; }
  std::int32_t num_pages() const { return num_pages_; }

  /// Makes pages [0, num_pages) usable; those that are already keep their place and contents. Errors:
  /// kOutOfMemory.
  Result<void> allocate(std::int32_t num_pages);
  void copy(PageId from, PageId to);

  std::byte* block(PageId page, std::size_t group, std::int32_t layer_in_group, std::int32_t kv_head) const {
    const GroupLayout& layout = groups_[group];
    const auto index = static_cast<std::size_t>(layer_in_group * layout.num_kv_heads + kv_head);
    return page_data(page) + layout.offset + index * layout.block_bytes;
  }

 private:
  struct GroupLayout {
    std::size_t offset = 0;  // within a page
    std::size_t block_bytes = 0;
    std::int32_t num_kv_heads = 0;
  };

  std::byte* page_data(PageId page) const {
    return slabs_[page >> slab_shift_].data() + (page & ((PageId{1} << slab_shift_) - 1)) * page_bytes_;
  }

  std::vector<GroupLayout> groups_;
  std::size_t page_bytes_ = 0;
  std::uint32_t slab_shift_ = 0;  // log2 of the pages in a slab
  std::vector<MemoryRegion> slabs_;
  std::int32_t num_pages_ = 0;
};

}  // namespace mlxd
