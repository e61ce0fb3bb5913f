#include "engine/page_pool.h"

#include <string>

#include "base/check.h"

namespace mlxd {

PagePool::PagePool(std::int32_t num_pages) {
  CHECK(num_pages >= 0);
  references_.assign(static_cast<std::size_t>(num_pages), 0);
  free_.reserve(references_.size());
  for (std::int32_t page = num_pages - 1; page >= 0; --page) free_.push_back(static_cast<PageId>(page));
}

bool PagePool::try_take(std::int32_t count, std::vector<PageId>& pages) {
  if (count > num_free()) return false;
  for (std::int32_t i = 0; i < count; ++i) {
    const PageId page = free_.back();
    free_.pop_back();
    references_[page] = 1;
    pages.push_back(page);
  }
  return true;
}

void PagePool::retain(PageId page) {
  CHECK(page < references_.size() && references_[page] > 0);
  ++references_[page];
}

void PagePool::release(PageId page) {
  CHECK(page < references_.size() && references_[page] > 0);
  if (--references_[page] == 0) free_.push_back(page);
}

std::int32_t PagePool::references(PageId page) const {
  CHECK(page < references_.size());
  return references_[page];
}

Result<void> PagePool::check_integrity(std::span<const std::int32_t> holders) const {
  const auto wrong = [](PageId page, const std::string& what) {
    return Error(ErrorKind::kInternal, "page " + std::to_string(page) + " " + what);
  };
  CHECK(holders.size() == references_.size());
  std::vector<bool> is_free(references_.size(), false);
  for (const PageId page : free_) {
    if (page >= references_.size()) return wrong(page, "is free but does not exist");
    if (is_free[page]) return wrong(page, "is free twice");
    is_free[page] = true;
  }
  for (PageId page = 0; page < references_.size(); ++page) {
    const std::int32_t count = references_[page];
    if (is_free[page] != (count == 0))
      return wrong(page, std::string(is_free[page] ? "is free with " : "is lost with ") +
                             std::to_string(count) + " references");
    if (count != holders[page])
      return wrong(page, "has " + std::to_string(count) + " references but " + std::to_string(holders[page]) +
                             " holders");
  }
  return {};
}

}  // namespace mlxd
