#include "store/setting_store.h"

#include <utility>

#include "store/sql.h"

namespace mlxd {
namespace {

Result<SettingStore::Values> read_pairs(Sql& sql, const char* text) {
  SettingStore::Values values;
  for (auto& [name, value] :
       sql.list(text, [](const Row& row) { return std::pair(row.text(0), row.text(1)); }))
    values.emplace(std::move(name), std::move(value));
  return values;
}

}  // namespace

Result<SettingStore::Values> SettingStore::all() {
  return database_.read([](Sql& sql) { return read_pairs(sql, "SELECT name, value FROM settings"); });
}

Result<void> SettingStore::change(const std::map<std::string, std::optional<std::string>>& changes,
                                  std::int64_t now_s) {
  return database_.write([&](Sql& sql) -> Result<void> {
    for (const auto& [name, value] : changes) {
      if (value)
        sql.execute(
            "INSERT INTO settings VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
            "SET value = excluded.value, changed_at = excluded.changed_at",
            name, *value, now_s);
      else
        sql.execute("DELETE FROM settings WHERE name = ?", name);
    }
    return {};
  });
}

Result<SettingStore::Values> SettingStore::all_secrets() {
  return database_.read([](Sql& sql) { return read_pairs(sql, "SELECT name, sealed FROM secrets"); });
}

Result<std::optional<std::string>> SettingStore::secret(std::string_view name) {
  return database_.read([&](Sql& sql) -> Result<std::optional<std::string>> {
    return sql.first(
        "SELECT sealed FROM secrets WHERE name = ?", [](const Row& row) { return row.text(0); }, name);
  });
}

Result<void> SettingStore::set_secret(std::string_view name, std::string_view sealed, std::int64_t now_s) {
  return database_.write([&](Sql& sql) -> Result<void> {
    sql.execute(
        "INSERT INTO secrets VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
        "SET sealed = excluded.sealed, changed_at = excluded.changed_at",
        name, sealed, now_s);
    return {};
  });
}

Result<bool> SettingStore::remove_secret(std::string_view name) {
  return database_.write(
      [&](Sql& sql) -> Result<bool> { return sql.execute("DELETE FROM secrets WHERE name = ?", name) > 0; });
}

Result<void> SettingStore::reseal(const std::function<Result<std::string>(const std::string&)>& seal_anew,
                                  std::int64_t now_s) {
  return database_.write([&](Sql& sql) -> Result<void> {
    const Values secrets = TRY(read_pairs(sql, "SELECT name, sealed FROM secrets"));
    for (const auto& [name, sealed] : secrets) {
      const std::string fresh = TRY(seal_anew(sealed));
      sql.execute("UPDATE secrets SET sealed = ?, changed_at = ? WHERE name = ?", fresh, now_s, name);
    }
    return {};
  });
}

}  // namespace mlxd
