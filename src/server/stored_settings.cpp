#include "server/stored_settings.h"

#include <system_error>

#include "store/database.h"
#include "store/setting_store.h"

namespace mlxd {

std::filesystem::path database_file(const std::filesystem::path& state_folder) {
  return state_folder / "mlxd.db";
}

Result<FlagValues> read_stored_settings(SettingStore& store) {
  FlagValues values;
  const SettingStore::Values stored = TRY(store.all());
  for (const auto& [name, text] : stored)
    if (const SettingInfo* info = find_setting(name)) values[name] = stored_values(*info, text);
  return values;
}

Result<FlagValues> read_stored_settings(const std::filesystem::path& state_folder) {
  std::error_code ignored;
  if (!std::filesystem::exists(database_file(state_folder), ignored)) return FlagValues{};
  const auto database = TRY(Database::open({.file = database_file(state_folder)}));
  SettingStore store(*database);
  return read_stored_settings(store);
}

}  // namespace mlxd
