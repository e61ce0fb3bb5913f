// The pages of one layer group: ids, reference counts, and a free list. The K/V themselves live in the
// backend, indexed by the same ids. A page is free, in use (some sequence's table has it), or idle: in no
// table, but kept because the prefix cache knows what it holds. Every operation but `resize` is O(1) a page.
// Owned by the engine's thread.
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

  std::int32_t num_pages() const { return static_cast<std::int32_t>(pages_.size()); }
  std::int32_t num_free() const { return static_cast<std::int32_t>(free_.size()); }
  std::int32_t num_idle() const { return num_idle_; }
  std::int32_t num_used() const { return num_pages() - num_free() - num_idle(); }

  /// Takes `count` free pages, appends their ids to `pages`, and gives each its first reference. All or none:
  /// returns false, changing nothing, if fewer are free.
  bool try_take(std::int32_t count, std::vector<PageId>& pages);
  /// One more table has the page, which is in use or idle.
  void retain(PageId page);
  /// One table fewer has it; with the last it is idle if cached, else free.
  void release(PageId page);
  std::int32_t references(PageId page) const;

  /// The cache remembers what a page in use holds, or forgets it: an idle page is free then.
  void set_cached(PageId page);
  void clear_cached(PageId page);
  bool is_cached(PageId page) const;
  bool is_idle(PageId page) const { return is_cached(page) && references(page) == 0; }

  /// Adds free pages at the end, or takes away those from `num_pages` on, which must all be free.
  void resize(std::int32_t num_pages);
  /// Takes one free page below `limit`; kNoPage if there is none. Looks through the free list.
  PageId try_take_below(std::int32_t limit);

  /// Whether free list and counts agree with each other and with `holders`: for each page, how many page
  /// tables it stands in. The message says what is wrong.
  Result<void> check_integrity(std::span<const std::int32_t> holders) const;

 private:
  struct Page {
    std::int32_t references = 0;  // by tables
    bool cached = false;
  };

  Page& at(PageId page);
  const Page& at(PageId page) const;

  std::vector<Page> pages_;
  std::vector<PageId> free_;  // taken from the back: the page freed last is used first
  std::int32_t num_idle_ = 0;
};

}  // namespace mlxd
