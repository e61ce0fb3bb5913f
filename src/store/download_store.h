// Downloads from the hub as they are remembered. Thread rule: as Database, which must outlive this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.h"

namespace mlxd {

/// A row of the table, which says what the fields mean.
struct DownloadRow {
  std::string id;
  std::optional<std::string> user_id = {};
  std::string repository, revision, commit;
  std::string patterns_json = "[]";
  std::string state;
  std::string message;
  bool owns_snapshot = false;
  std::int64_t total_bytes = 0;
  std::int64_t present_bytes = 0;
  std::int64_t created_at = 0;  // seconds since 1970
  std::optional<std::int64_t> ended_at = {};
};

class DownloadStore {
 public:
  explicit DownloadStore(Database& database) : database_(database) {}

  /// In the order in which they were saved first.
  Result<std::vector<DownloadRow>> list();
  /// Adds it, or changes the one with its id, which keeps its place. An account that is gone is nobody.
  Result<void> save(const DownloadRow& row);
  /// Nothing happens if there is none.
  Result<void> remove(std::string_view id);

 private:
  Database& database_;
};

}  // namespace mlxd
