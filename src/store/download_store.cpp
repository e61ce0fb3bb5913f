#include "store/download_store.h"

#include "store/sql.h"

namespace mlxd {

Result<std::vector<DownloadRow>> DownloadStore::list() {
  return database_.read([](Sql& sql) -> Result<std::vector<DownloadRow>> {
    return sql.list(
        "SELECT id, user_id, repository, revision, commit_hash, patterns, state, message, owns_snapshot, "
        "total_bytes, present_bytes, created_at, ended_at FROM downloads ORDER BY rowid",
        [](const Row& row) {
          return DownloadRow{.id = row.text(0),
                             .user_id = row.is_null(1) ? std::nullopt : std::optional(row.text(1)),
                             .repository = row.text(2),
                             .revision = row.text(3),
                             .commit = row.text(4),
                             .patterns_json = row.text(5),
                             .state = row.text(6),
                             .message = row.text(7),
                             .owns_snapshot = row.boolean(8),
                             .total_bytes = row.integer(9),
                             .present_bytes = row.integer(10),
                             .created_at = row.integer(11),
                             .ended_at = row.maybe_integer(12)};
        });
  });
}

Result<void> DownloadStore::save(const DownloadRow& row) {
  return database_.write([&](Sql& sql) -> Result<void> {
    // Not OR REPLACE, which would make a new row.
    sql.execute(
        "INSERT INTO downloads (id, user_id, repository, revision, commit_hash, patterns, state, message, "
        "owns_snapshot, total_bytes, present_bytes, created_at, ended_at) "
        "VALUES (?, (SELECT id FROM users WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET commit_hash = excluded.commit_hash, state = excluded.state, "
        "message = excluded.message, owns_snapshot = excluded.owns_snapshot, "
        "total_bytes = excluded.total_bytes, present_bytes = excluded.present_bytes, "
        "ended_at = excluded.ended_at",
        row.id, row.user_id, row.repository, row.revision, row.commit, row.patterns_json, row.state,
        row.message, row.owns_snapshot, row.total_bytes, row.present_bytes, row.created_at, row.ended_at);
    return {};
  });
}

Result<void> DownloadStore::remove(std::string_view id) {
  return database_.write([&](Sql& sql) -> Result<void> {
    sql.execute("DELETE FROM downloads WHERE id = ?", id);
    return {};
  });
}

}  // namespace mlxd
