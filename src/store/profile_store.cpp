#include "store/profile_store.h"

#include "store/sql.h"

namespace mlxd {
namespace {

// `own_id`: of the profile that may have the name.
Result<void> check_name_free(Sql& sql, const std::string& name, const std::string& own_id) {
  if (sql.number("SELECT COUNT(*) FROM profiles WHERE name = ? AND id <> ?", name, own_id) > 0)
    return Error(ErrorKind::kConflict, "there is a profile '" + name + "' already", "name");
  if (sql.number("SELECT COUNT(*) FROM aliases WHERE name = ?", name) > 0)
    return Error(ErrorKind::kConflict, "there is an alias '" + name + "' already", "name");
  return {};
}

}  // namespace

Result<std::vector<Profile>> ProfileStore::list() {
  return database_.read([](Sql& sql) -> Result<std::vector<Profile>> {
    return sql.list(
        "SELECT id, name, description, model, defaults, auto_load, created_by, created_at, changed_at FROM "
        "profiles ORDER BY name",
        [](const Row& row) {
          return Profile{.id = row.text(0),
                         .name = row.text(1),
                         .description = row.text(2),
                         .model = row.text(3),
                         .defaults = row.text(4),
                         .auto_load = row.boolean(5),
                         .created_by = row.text(6),
                         .created_at = row.integer(7),
                         .changed_at = row.integer(8)};
        });
  });
}

Result<void> ProfileStore::create(const Profile& profile) {
  return database_.write([&](Sql& sql) -> Result<void> {
    TRY(check_name_free(sql, profile.name, profile.id));
    sql.execute("INSERT INTO profiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", profile.id, profile.name,
                profile.description, profile.model, profile.defaults, profile.auto_load, profile.created_by,
                profile.created_at, profile.changed_at);
    return {};
  });
}

Result<void> ProfileStore::replace(const Profile& profile) {
  return database_.write([&](Sql& sql) -> Result<void> {
    TRY(check_name_free(sql, profile.name, profile.id));
    const int changed = sql.execute(
        "UPDATE profiles SET name = ?, description = ?, model = ?, defaults = ?, auto_load = ?, changed_at = "
        "? WHERE id = ?",
        profile.name, profile.description, profile.model, profile.defaults, profile.auto_load,
        profile.changed_at, profile.id);
    if (changed == 0) return not_found("there is no profile '" + profile.id.substr(0, 100) + "'");
    return {};
  });
}

Result<bool> ProfileStore::remove(std::string_view id) {
  return database_.write(
      [&](Sql& sql) -> Result<bool> { return sql.execute("DELETE FROM profiles WHERE id = ?", id) > 0; });
}

Result<std::vector<Alias>> ProfileStore::aliases() {
  return database_.read([](Sql& sql) -> Result<std::vector<Alias>> {
    return sql.list("SELECT name, model FROM aliases ORDER BY name", [](const Row& row) {
      return Alias{row.text(0), row.text(1)};
    });
  });
}

Result<void> ProfileStore::set_alias(const Alias& alias, std::int64_t now_s) {
  return database_.write([&](Sql& sql) -> Result<void> {
    if (sql.number("SELECT COUNT(*) FROM profiles WHERE name = ?", alias.name) > 0)
      return Error(ErrorKind::kConflict, "there is a profile '" + alias.name + "' already", "name");
    sql.execute(
        "INSERT INTO aliases VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET model = excluded.model, "
        "changed_at = excluded.changed_at",
        alias.name, alias.model, now_s);
    return {};
  });
}

Result<bool> ProfileStore::remove_alias(std::string_view name) {
  return database_.write(
      [&](Sql& sql) -> Result<bool> { return sql.execute("DELETE FROM aliases WHERE name = ?", name) > 0; });
}

}  // namespace mlxd
