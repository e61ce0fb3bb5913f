// A journal in memory, for a program that ends with its downloads. (A server's is in its database.)
#pragma once

#include <string>
#include <vector>

#include "catalog/download.h"

namespace mlxd {

class MemoryJournal : public DownloadJournal {
 public:
  Result<std::vector<DownloadRecord>> load() override;
  Result<void> save(const DownloadRecord& record) override;
  Result<void> remove(const std::string& id) override;

 private:
  std::vector<DownloadRecord> records_;
};

}  // namespace mlxd
