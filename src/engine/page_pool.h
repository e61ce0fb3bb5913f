// Who holds which page: ids, reference counts and a free list. The K/V themselves live in the backend,
// indexed by the same ids. Every operation is O(1) a page. Owned by the engine's thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/step_batch.h"

namespace mlxd {

/// Pages that hold `tokens` positions.
constexpr std::int32_t pages_for_tokens(std::int64_t tokens) {
  return static_cast<std::int32_t>((tokens + kPageTokens - 1) / kPageTokens);
}

class PagePool {
 public:
  explicit PagePool(std::int32_t num_pages);

  std::int32_t num_pages() const { return static_cast<std::int32_t>(references_.size()); }
  std::int32_t num_free() const { return static_cast<std::int32_t>(free_.size()); }
  std::int32_t num_used() const { return num_pages() - num_free(); }

  /// Takes `count` free pages, appends their ids to `pages`, and gives each its first reference. All or none:
  /// returns false, changing nothing, if fewer are free.
  bool try_take(std::int32_t count, std::vector<PageId>& pages);
  /// One more holder of a page that has one.
  void retain(PageId page);
  /// One holder fewer; with the last the page is free.
  void release(PageId page);
  std::int32_t references(PageId page) const;

  /// Whether free list and counts agree with each other and with `holders`: for each page, how many page
  /// tables it stands in. The message says what is wrong.
  Result<void> check_integrity(std::span<const std::int32_t> holders) const;

 private:
  std::vector<std::int32_t> references_;  // by page; 0: free
  std::vector<PageId> free_;              // taken from the back: the page freed last is used first
};

}  // namespace mlxd
