#include "cli/settings.h"

#include <utility>

#include "server/stored_settings.h"

namespace mlxd::cli {

Result<SettingPlaces> read_places(const FlagValues& flags, const StateFolder& state) {
  SettingPlaces places = TRY(SettingPlaces::read(flags, state.config_file()));
  places.stored = TRY(read_stored_settings(state.root()));
  return places;
}

Result<Settings> resolve_settings(const FlagValues& flags, const StateFolder& state) {
  return Settings::resolve(TRY(read_places(flags, state)));
}

std::string describe_source(SettingSource source, std::string_view name, const StateFolder& state) {
  return mlxd::describe_source(source, name, state.config_file());
}

}  // namespace mlxd::cli
