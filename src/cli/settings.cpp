#include "cli/settings.h"

#include <utility>

#include "server/pool_settings.h"
#include "server/stored_settings.h"

namespace mlxd::cli {

Result<SettingPlaces> read_places(const FlagValues& flags, const StateFolder& state) {
  SettingPlaces places = TRY(SettingPlaces::read(flags, state.config_file()));
  places.stored = TRY(read_stored_settings(state.root()));
  return places;
}

Result<Settings> resolve_settings(const FlagValues& flags, const StateFolder& state) {
  Settings settings = TRY(Settings::resolve(TRY(read_places(flags, state))));
  TRY(quantization_at_load(settings));
  return settings;
}

std::string describe_source(SettingSource source, std::string_view name, const StateFolder& state) {
  return mlxd::describe_source(source, name, state.config_file());
}

std::uint64_t memory_budget(const Settings& settings) { return memory_bytes_of(settings.memory()); }

Result<std::optional<Quantization>> quantization_at_load(const Settings& settings) {
  const std::string& name = settings.quantize();
  if (name.size() == 1)
    return std::optional(
        Quantization{QuantizationMode::kAffine, name.front() - '0', settings.quantize_group()});
  if (settings.value("quantize-group").source == SettingSource::kFlag)
    return invalid_argument("--quantize-group is for --quantize with a number of bits", "quantize-group");
  return small_float_form(name);
}

}  // namespace mlxd::cli
