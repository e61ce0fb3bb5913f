// Profiles (a model with defaults under a name of its own) and aliases (another name for a model). Thread
// rule: as Database, which must outlive this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.h"

namespace mlxd {

struct Profile {
  std::string id;
  std::string name;
  std::string description;      // may have several lines
  std::string model;            // as a request would name it, "+ADAPTER" included
  std::string defaults = "{}";  // a JSON object, read by api/manage/profile_codec
  bool auto_load = false;       // loaded when the server starts
  std::string created_by;       // a user's id, or empty
  std::int64_t created_at = 0;  // seconds since 1970
  std::int64_t changed_at = 0;
};

struct Alias {
  std::string name;
  std::string model;
};

class ProfileStore {
 public:
  explicit ProfileStore(Database& database) : database_(database) {}

  /// By name.
  Result<std::vector<Profile>> list();
  /// Errors: kConflict if a profile or an alias has the name.
  Result<void> create(const Profile& profile);
  /// Replaces all but id and creation. Errors: kNotFound, kConflict.
  Result<void> replace(const Profile& profile);
  /// False if there was none.
  Result<bool> remove(std::string_view id);

  /// By name.
  Result<std::vector<Alias>> aliases();
  /// Makes or changes one. Errors: kConflict if a profile has the name.
  Result<void> set_alias(const Alias& alias, std::int64_t now_s);
  /// False if there was none.
  Result<bool> remove_alias(std::string_view name);

 private:
  Database& database_;
};

}  // namespace mlxd
