// Two journals: one in memory, for a program that ends with its download, and one of small files, for a
// server.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
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
  std::map<std::string, DownloadRecord> records_;
};

/// FOLDER/ID.json for each, replaced whole. A file that is none is skipped with a warning.
class FolderJournal : public DownloadJournal {
 public:
  /// Errors: kIo.
  static Result<std::unique_ptr<FolderJournal>> open(std::filesystem::path folder);
  Result<std::vector<DownloadRecord>> load() override;
  Result<void> save(const DownloadRecord& record) override;
  Result<void> remove(const std::string& id) override;

 private:
  explicit FolderJournal(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

}  // namespace mlxd
