// The one table of settings: flags, MLXD_* variables, config.toml, stored settings, `mlxd config`, the API
// and docs/settings.md all come from it. A row without an effect has no place here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace mlxd {

enum class SettingKind {
  kText,
  kNumber,  // whole
  kSize,    // of memory or files, in bytes
  kMemory,  // a size, or a part of the machine's memory
  kTime,    // empty where nothing is said
  kSwitch,
  kList,
  kSecret,  // only stored, encrypted, and never shown
};
std::string_view to_string(SettingKind kind);  // "text", "number", "size", "memory", "time", …

enum class SettingEffect { kAtOnce, kAtStart };

struct SettingInfo {
  std::string_view name;  // "log-level": the flag, and the key of config.toml with "_" for "-"
  SettingKind kind;
  std::string_view default_value;  // as it would be written
  std::string_view placeholder;    // of the value in help
  std::string_view help;
  std::string_view category;
  SettingEffect effect = SettingEffect::kAtStart;
  /// Of numbers and sizes.
  std::int64_t min = 0;
  std::int64_t max = 0x7FFFFFFF;
  /// What a text or number may be, with ", " between; empty: anything.
  std::string_view choices = {};
};

/// All settings, in the order of the help.
std::span<const SettingInfo> setting_infos();
/// nullptr: there is none of that name.
const SettingInfo* find_setting(std::string_view name);
/// "MLXD_LOG_LEVEL" of "log-level".
std::string environment_name(std::string_view setting);
/// The page docs/settings.md.
std::string settings_page();

}  // namespace mlxd
