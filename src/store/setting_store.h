// Settings that were changed through the API or `mlxd config`, and sealed secrets. Values are text as it
// would be written in config.toml; what they mean is the settings table's business. Thread rule: as Database,
// which must outlive this.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "store/database.h"

namespace mlxd {

class SettingStore {
 public:
  explicit SettingStore(Database& database) : database_(database) {}

  using Values = std::map<std::string, std::string, std::less<>>;
  Result<Values> all();
  /// Sets each, or forgets it where there is no value; all or none of them.
  Result<void> change(const std::map<std::string, std::optional<std::string>>& changes, std::int64_t now_s);

  // Secrets, as SecretBox has sealed them.
  Result<Values> all_secrets();
  Result<std::optional<std::string>> secret(std::string_view name);
  Result<void> set_secret(std::string_view name, std::string_view sealed, std::int64_t now_s);
  /// False if there was none.
  Result<bool> remove_secret(std::string_view name);
  /// Replaces each that is there by what `seal_anew` makes of it, all or none.
  Result<void> reseal(const std::function<Result<std::string>(const std::string& sealed)>& seal_anew,
                      std::int64_t now_s);

 private:
  Database& database_;
};

}  // namespace mlxd
