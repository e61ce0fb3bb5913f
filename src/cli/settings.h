// Where the command line's settings come from: flags, environment, and the state folder's config.toml and
// database.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/state_folder.h"
#include "settings/settings.h"
#include "workbench/convert_model.h"

namespace mlxd::cli {

/// Errors: kInvalidArgument naming the setting, the value and where it stands; an unknown key in config.toml;
/// a config.toml or database that cannot be read.
Result<SettingPlaces> read_places(const FlagValues& flags, const StateFolder& state);
Result<Settings> resolve_settings(const FlagValues& flags, const StateFolder& state);

/// The memory setting in bytes of this machine; 0: chosen by the program.
std::uint64_t memory_budget(const Settings& settings);

/// What dense layers become when a model is loaded, if they are not to stay. Errors: kInvalidArgument (a
/// group size on the command line for what has no choice of it).
Result<std::optional<Quantization>> quantization_at_load(const Settings& settings);

/// Where a value came from, for people: "--port", "MLXD_PORT", "/home/me/.mlxd/config.toml", "stored",
/// "default".
std::string describe_source(SettingSource source, std::string_view name, const StateFolder& state);

}  // namespace mlxd::cli
