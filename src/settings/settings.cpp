#include "settings/settings.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>

#include "base/ascii.h"
#include "base/check.h"
#include "base/duration_text.h"
#include "base/nearest_names.h"
#include "base/size_text.h"
#include "settings/value_text.h"

namespace mlxd {
namespace {

std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (const std::string_view part = trim(text.substr(0, comma)); !part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

Result<void> require_choice(const std::string& text, std::string_view choices) {
  const std::vector<std::string> list = split_commas(choices);
  if (std::find(list.begin(), list.end(), text) != list.end()) return {};
  return invalid_argument("'" + text + "' is none of " + std::string(choices));
}

// Key → values of config.toml; empty if there is no such file.
Result<FlagValues> read_config(const std::filesystem::path& path) {
  std::error_code error;
  if (path.empty() || !std::filesystem::exists(path, error)) return FlagValues{};
  std::ifstream file(path);
  if (!file) return Error(ErrorKind::kIo, "cannot read " + path.string());

  std::vector<CLI::ConfigItem> items;
  try {
    items = CLI::ConfigTOML().from_config(file);
  } catch (const std::exception& failure) {
    return invalid_argument(path.string() + ": " + failure.what());
  }
  FlagValues values;
  for (const CLI::ConfigItem& item : items) {
    if (!item.parents.empty())
      return invalid_argument(path.string() + ": there is no section [" + item.parents.front() +
                              "]: settings stand by themselves, without one");
    std::string name = item.name;
    std::replace(name.begin(), name.end(), '_', '-');
    const SettingInfo* info = find_setting(name);
    if (info == nullptr) return invalid_argument(path.string() + ": " + unknown_setting(item.name).message);
    if (info->kind == SettingKind::kSecret)
      return invalid_argument(path.string() + ": '" + item.name +
                              "' is a secret and does not belong into a file: use 'mlxd config set " + name +
                              "'");
    auto& target = values[name];
    target.insert(target.end(), item.inputs.begin(), item.inputs.end());
  }
  return values;
}

}  // namespace

Error unknown_setting(std::string_view name) {
  std::string key(name.substr(0, 100));
  std::replace(key.begin(), key.end(), '_', '-');
  std::vector<std::string> names;
  for (const SettingInfo& info : setting_infos()) names.emplace_back(info.name);
  const auto nearest = nearest_names(key, names, 1);
  return not_found("there is no setting '" + std::string(name.substr(0, 100)) + "'" +
                   (nearest.empty() ? "" : "; nearest: " + nearest.front()));
}

Result<SettingPlaces> SettingPlaces::read(FlagValues flags, const std::filesystem::path& file) {
  SettingPlaces places;
  places.flags = std::move(flags);
  places.config_file = file;
  places.config = TRY(read_config(file));
  for (const SettingInfo& info : setting_infos()) {
    if (info.kind == SettingKind::kSecret) continue;
    const char* variable = std::getenv(environment_name(info.name).c_str());
    if (variable == nullptr || *variable == '\0') continue;
    places.environment[std::string(info.name)] =
        info.kind == SettingKind::kList ? split_commas(variable) : std::vector<std::string>{variable};
  }
  return places;
}

std::vector<std::string> stored_values(const SettingInfo& info, const std::string& text) {
  return info.kind == SettingKind::kList ? split_commas(text) : std::vector<std::string>{text};
}

// Checks what is written and fills in the number.
Result<void> check_setting(const SettingInfo& info, Settings::Value& value) {
  if (info.kind == SettingKind::kList) {
    // A relative one would be another for each program that reads it.
    for (const std::string& folder : value.values)
      if (info.name == "models-folder" && !folder.starts_with('/') && folder != "~" &&
          !folder.starts_with("~/"))
        return invalid_argument("'" + folder + "' is no whole path: it must begin with / or ~/");
    return {};
  }
  if (value.values.size() != 1)
    return invalid_argument("given " + std::to_string(value.values.size()) + " times, must be one value");
  const std::string& text = value.values.front();
  if (info.name == "backend" && (text == "mlx" || text == "cuda"))
    return unsupported("this build has no '" + text + "' backend: use auto or cpu");
  if (!info.choices.empty()) TRY(require_choice(text, info.choices));
  if (info.kind == SettingKind::kNumber) {
    value.number = TRY(parse_integer(text, info.min, info.max));
  } else if (info.kind == SettingKind::kSize) {
    value.number = static_cast<std::int64_t>(TRY(parse_size(text)));
    if (value.number < info.min || value.number > info.max)
      return invalid_argument("'" + text + "' is not a size from " + std::to_string(info.min) + " to " +
                              std::to_string(info.max) + " bytes");
  } else if (info.kind == SettingKind::kMemory) {
    value.number = static_cast<std::int64_t>(TRY(parse_memory_amount(text)).bytes);
  } else if (info.kind == SettingKind::kTime) {
    if (!text.empty() || !info.default_value.empty()) value.number = TRY(parse_duration(text)).count();
    if (value.number < info.min) return invalid_argument("'" + text + "' is negative");
  } else if (info.kind == SettingKind::kSwitch) {
    value.number = TRY(parse_switch(text)) ? 1 : 0;
  } else if (text.empty() && !info.default_value.empty()) {
    return invalid_argument("must not be empty");
  }
  return {};
}

Result<Settings> Settings::resolve(const SettingPlaces& places) {
  const std::pair<const FlagValues*, SettingSource> order[] = {
      {&places.flags, SettingSource::kFlag},
      {&places.environment, SettingSource::kEnvironment},
      {&places.config, SettingSource::kConfigFile},
      {&places.stored, SettingSource::kStored},
  };
  Settings settings;
  for (const SettingInfo& info : setting_infos()) {
    const std::string name(info.name);
    Value value;
    if (info.kind != SettingKind::kList) value.values = {std::string(info.default_value)};
    for (const auto& [place, source] : order) {
      const auto found = place->find(name);
      if (found == place->end()) continue;
      value = {found->second, source, 0};
      break;
    }
    if (const auto checked = check_setting(info, value); !checked) {
      const std::string where =
          value.source == SettingSource::kConfigFile ? name + " in " + places.config_file.string()
          : value.source == SettingSource::kStored   ? "the stored setting " + name
                                                   : describe_source(value.source, name, places.config_file);
      return Error(checked.error().kind, where + ": " + checked.error().message, name);
    }
    settings.values_.emplace(name, std::move(value));
  }
  return settings;
}

MemorySize Settings::memory() const {
  const Result<MemorySize> size = parse_memory_amount(text("memory"));
  return size.ok() ? *size : MemorySize{};  // resolve has checked it
}

const Settings::Value& Settings::value(std::string_view name) const {
  const auto found = values_.find(name);
  CHECK(found != values_.end());
  return found->second;
}

std::string describe_source(SettingSource source, std::string_view name,
                            const std::filesystem::path& config_file) {
  switch (source) {
    case SettingSource::kFlag:
      return "--" + std::string(name);
    case SettingSource::kEnvironment:
      return environment_name(name);
    case SettingSource::kConfigFile:
      return config_file.string();
    case SettingSource::kStored:
      return "stored";
    case SettingSource::kDefault:
      return "default";
  }
  return "default";
}

}  // namespace mlxd
