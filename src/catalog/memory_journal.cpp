#include "catalog/memory_journal.h"

#include <algorithm>

namespace mlxd {

Result<std::vector<DownloadRecord>> MemoryJournal::load() { return records_; }

Result<void> MemoryJournal::save(const DownloadRecord& record) {
  const auto known = std::find_if(records_.begin(), records_.end(),
                                  [&](const DownloadRecord& each) { return each.id == record.id; });
  if (known == records_.end())
    records_.push_back(record);
  else
    *known = record;
  return {};
}

Result<void> MemoryJournal::remove(const std::string& id) {
  std::erase_if(records_, [&](const DownloadRecord& each) { return each.id == id; });
  return {};
}

}  // namespace mlxd
