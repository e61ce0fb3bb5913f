#include "store/response_store.h"

#include <utility>

#include "store/sql.h"

namespace mlxd {
namespace {

Error no_response(std::string_view id) {
  return not_found("there is no response '" + std::string(id.substr(0, 100)) + "'");
}

}  // namespace

Result<void> ResponseStore::add(std::span<const StoredResponse> responses) {
  return database_.write([&](Sql& sql) -> Result<void> {
    for (const StoredResponse& each : responses)
      sql.execute(
          "INSERT INTO responses SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 "
          "WHERE (?2 IS NULL OR EXISTS (SELECT 1 FROM users WHERE id = ?2)) "
          "AND (?3 IS NULL OR EXISTS (SELECT 1 FROM api_keys WHERE id = ?3))",
          each.id, each.owner.user_id, each.owner.key_id, each.previous_id, each.input_json,
          each.response_json, each.created_at, each.bytes());
    return {};
  });
}

Result<StoredResponse> ResponseStore::find(const ResponseOwner& owner, std::string_view id) {
  return database_.read([&](Sql& sql) -> Result<StoredResponse> {
    auto found = sql.first(
        "SELECT id, previous_id, input, response, created_at FROM responses "
        "WHERE id = ? AND user_id IS ? AND key_id IS ?",
        [&](const Row& row) {
          return StoredResponse{.id = row.text(0),
                                .owner = owner,
                                .previous_id = row.is_null(1) ? std::nullopt : std::optional(row.text(1)),
                                .input_json = row.text(2),
                                .response_json = row.text(3),
                                .created_at = row.integer(4)};
        },
        id, owner.user_id, owner.key_id);
    if (!found) return no_response(id);
    return std::move(*found);
  });
}

Result<void> ResponseStore::remove(const ResponseOwner& owner, std::string_view id) {
  return database_.write([&](Sql& sql) -> Result<void> {
    if (sql.execute("DELETE FROM responses WHERE id = ? AND user_id IS ? AND key_id IS ?", id, owner.user_id,
                    owner.key_id) == 0)
      return no_response(id);
    return {};
  });
}

Result<std::int64_t> ResponseStore::remove_before(std::int64_t time) {
  return database_.write([&](Sql& sql) -> Result<std::int64_t> {
    return std::int64_t{
        sql.execute("WITH RECURSIVE kept (id) AS ("
                    "  SELECT id FROM responses WHERE created_at >= ?1"
                    "  UNION SELECT previous_id FROM responses JOIN kept USING (id) "
                    "WHERE previous_id IS NOT NULL) "
                    "DELETE FROM responses WHERE created_at < ?1 AND id NOT IN (SELECT id FROM kept)",
                    time)};
  });
}

Result<std::int64_t> ResponseStore::total_bytes() {
  return database_.read([&](Sql& sql) -> Result<std::int64_t> {
    return sql
        .first("SELECT COALESCE(SUM(bytes), 0) FROM responses", [](const Row& row) { return row.integer(0); })
        .value_or(0);
  });
}

Result<std::int64_t> ResponseStore::remove_beyond(std::int64_t bytes) {
  return database_.write([&](Sql& sql) -> Result<std::int64_t> {
    return std::int64_t{
        sql.execute("DELETE FROM responses WHERE rowid IN (SELECT rowid FROM ("
                    "  SELECT rowid, SUM(bytes) OVER (ORDER BY created_at DESC, rowid DESC) AS total "
                    "FROM responses) WHERE total > ?)",
                    bytes)};
  });
}

}  // namespace mlxd
