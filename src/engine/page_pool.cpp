#include "engine/page_pool.h"

#include <algorithm>
#include <string>

#include "base/check.h"

namespace mlxd {

PagePool::PagePool(std::int32_t num_pages) { resize(num_pages); }

PagePool::Page& PagePool::at(PageId page) {
  CHECK(page < pages_.size());
  return pages_[page];
}

const PagePool::Page& PagePool::at(PageId page) const {
  CHECK(page < pages_.size());
  return pages_[page];
}

bool PagePool::try_take(std::int32_t count, std::vector<PageId>& pages) {
  if (count > num_free()) return false;
  for (std::int32_t i = 0; i < count; ++i) {
    const PageId page = free_.back();
    free_.pop_back();
    pages_[page].references = 1;
    pages.push_back(page);
  }
  return true;
}

void PagePool::retain(PageId page) {
  Page& entry = at(page);
  CHECK(entry.references > 0 || entry.cached);
  if (entry.references++ == 0) --num_idle_;
}

void PagePool::release(PageId page) {
  Page& entry = at(page);
  CHECK(entry.references > 0);
  if (--entry.references > 0) return;
  if (entry.cached)
    ++num_idle_;
  else
    free_.push_back(page);
}

std::int32_t PagePool::references(PageId page) const { return at(page).references; }

void PagePool::set_cached(PageId page) {
  Page& entry = at(page);
  CHECK(entry.references > 0 && !entry.cached);
  entry.cached = true;
}

void PagePool::clear_cached(PageId page) {
  Page& entry = at(page);
  CHECK(entry.cached);
  entry.cached = false;
  if (entry.references > 0) return;
  --num_idle_;
  free_.push_back(page);
}

bool PagePool::is_cached(PageId page) const { return at(page).cached; }

void PagePool::resize(std::int32_t num_pages) {
  CHECK(num_pages >= 0);
  const std::int32_t before = this->num_pages();
  for (std::int32_t page = num_pages; page < before; ++page)
    CHECK(pages_[static_cast<std::size_t>(page)].references == 0 &&
          !pages_[static_cast<std::size_t>(page)].cached);
  std::erase_if(free_, [num_pages](PageId page) { return page >= static_cast<PageId>(num_pages); });
  pages_.resize(static_cast<std::size_t>(num_pages));
  free_.reserve(pages_.size());
  // The new ones are taken last, from the lowest on.
  std::vector<PageId> added;
  for (std::int32_t page = num_pages - 1; page >= before; --page) added.push_back(static_cast<PageId>(page));
  free_.insert(free_.begin(), added.begin(), added.end());
}

PageId PagePool::try_take_below(std::int32_t limit) {
  const auto found = std::find_if(free_.rbegin(), free_.rend(),
                                  [limit](PageId page) { return page < static_cast<PageId>(limit); });
  if (found == free_.rend()) return kNoPage;
  const PageId page = *found;
  free_.erase(std::next(found).base());
  pages_[page].references = 1;
  return page;
}

Result<void> PagePool::check_integrity(std::span<const std::int32_t> holders) const {
  const auto wrong = [](PageId page, const std::string& what) {
    return Error(ErrorKind::kInternal, "page " + std::to_string(page) + " " + what);
  };
  CHECK(holders.size() == pages_.size());
  std::vector<bool> is_free(pages_.size(), false);
  for (const PageId page : free_) {
    if (page >= pages_.size()) return wrong(page, "is free but does not exist");
    if (is_free[page]) return wrong(page, "is free twice");
    is_free[page] = true;
  }
  std::int32_t idle = 0;
  for (PageId page = 0; page < pages_.size(); ++page) {
    const auto [references, cached] = pages_[page];
    if (is_free[page] != (references == 0 && !cached))
      return wrong(page, std::string(is_free[page] ? "is free with " : "is lost with ") +
                             std::to_string(references) + " references");
    if (references != holders[page])
      return wrong(page, "has " + std::to_string(references) + " references but " +
                             std::to_string(holders[page]) + " holders");
    if (references == 0 && cached) ++idle;
  }
  if (idle != num_idle_)
    return Error(ErrorKind::kInternal,
                 std::to_string(idle) + " pages are idle, " + std::to_string(num_idle_) + " are counted");
  return {};
}

}  // namespace mlxd
