// Reads stored settings where no server runs. A function.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "settings/settings.h"

namespace mlxd {

class SettingStore;

/// Of the database in `state_folder`; none if there is no database. Errors: as Database::open.
Result<FlagValues> read_stored_settings(const std::filesystem::path& state_folder);
/// The same of an open one. What names no setting of today is left out: an older or newer program's.
Result<FlagValues> read_stored_settings(SettingStore& store);

/// The database in a state folder.
std::filesystem::path database_file(const std::filesystem::path& state_folder);

}  // namespace mlxd
