// The journal of downloads in the program's database: the catalog knows of no store. Thread rule: as
// DownloadJournal; the database must outlive it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "catalog/download.h"
#include "store/download_store.h"

namespace mlxd {

class StoredDownloads : public DownloadJournal {
 public:
  explicit StoredDownloads(Database& database) : store_(database) {}
  /// A row that this program cannot read is skipped with a warning.
  Result<std::vector<DownloadRecord>> load() override;
  Result<void> save(const DownloadRecord& record) override;
  Result<void> remove(const std::string& id) override;

  /// Takes over the files ID.json in which earlier versions of this program kept their downloads; each goes
  /// once its row is there, and so does the folder. One that is no record stays, with a warning. Errors: the
  /// database's.
  Result<void> take_over(const std::filesystem::path& folder);

 private:
  DownloadStore store_;
};

}  // namespace mlxd
