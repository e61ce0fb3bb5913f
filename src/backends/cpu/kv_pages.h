// Memory of the pages of one layer group, addressed by page id. A page holds, for each layer of the group and
// K/V head, one contiguous block of kPageTokens keys and values (kv_block.h); or, of recurrent layers, each
// layer's state in fp32. Memory comes and goes by
// slabs, so that a page never moves. Owned by the engine thread; compute threads read and write blocks within
// a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backends/cpu/kv_block.h"
#include "backends/cpu/memory.h"
#include "base/result.h"
#include "engine/step_batch.h"
#include "model/model_spec.h"

namespace mlxd {

class KvPages {
 public:
  /// `touch`: pages are backed by memory from the moment they are usable, not from their first use.
  KvPages(const LayerGroup& group, KvFormat format, bool touch = false);

  const KvBlockLayout& layout() const { return layout_; }
  std::size_t page_bytes() const { return page_bytes_; }
  std::int32_t num_pages() const { return num_pages_; }

  /// Makes pages [0, num_pages) usable, and no others. Those that stay keep their place and contents; what
  /// new ones hold is undefined; the memory of those that go returns to the system. Errors: kOutOfMemory,
  /// which changes nothing.
  Result<void> resize(std::int32_t num_pages);
  void copy(PageId from, PageId to);

  /// `used` is in use. Has the system back one page more, if few of those after it have memory: the engine
  /// takes ids from the lowest on, and what memory costs when it is first touched is spread over the steps
  /// before instead of falling into the one that begins many pages.
  void touch_ahead(PageId used);

  std::byte* block(PageId page, std::int32_t layer_in_group, std::int32_t kv_head) const {
    const auto index = static_cast<std::size_t>(layer_in_group * num_kv_heads_ + kv_head);
    return page_data(page) + index * layout_.num_bytes;
  }
  /// A recurrent layer's state.
  float* state(PageId page, std::int32_t layer_in_group) const {
    return reinterpret_cast<float*>(page_data(page) +
                                    static_cast<std::size_t>(layer_in_group) * state_bytes_);
  }

 private:
  std::size_t slab_pages() const { return std::size_t{1} << slab_shift_; }
  std::byte* page_data(PageId page) const {
    return slabs_[page >> slab_shift_].data() + (page & ((PageId{1} << slab_shift_) - 1)) * page_bytes_;
  }
  void touch(std::size_t first, std::size_t last);
  Result<void> grow(std::size_t num_pages);
  void shrink(std::size_t num_pages);

  KvBlockLayout layout_;
  std::int32_t num_kv_heads_;
  std::size_t state_bytes_;
  std::size_t page_bytes_;
  bool touch_;
  std::uint32_t slab_shift_ = 0;  // log2 of the pages in a slab
  std::vector<MemoryRegion> slabs_;
  std::int32_t num_pages_ = 0;
  std::size_t num_touched_ = 0;  // pages [0, num_touched_) have been in use or touched, for all one knows
};

}  // namespace mlxd
