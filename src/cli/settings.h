// The settings of the server, each resolved from the first place that names it: flag, MLXD_<NAME> in the
// environment, config.toml in the state folder, default. Resolved once, then constant.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/state_folder.h"
#include "workbench/convert_model.h"

namespace mlxd::cli {

enum class SettingSource { kFlag, kEnvironment, kConfigFile, kDefault };

enum class SettingKind { kText, kNumber, kSize, kSwitch, kList };

struct SettingInfo {
  std::string_view name;  // "log-level": the flag, and the key of config.toml with "_" for "-"
  SettingKind kind;
  std::string_view default_value;  // as it would be written
  std::string_view placeholder;    // of the value in help
  std::string_view help;
};
/// All settings, in the order of the help.
std::span<const SettingInfo> setting_infos();
/// "MLXD_LOG_LEVEL" of "log-level".
std::string environment_name(std::string_view setting);

/// What was given on the command line: setting → values. A switch given without a value is "true".
using FlagValues = std::map<std::string, std::vector<std::string>, std::less<>>;

class Settings {
 public:
  /// Errors: kInvalidArgument naming the setting, the value and where it stands; an unknown key in
  /// config.toml; a config.toml that cannot be read.
  static Result<Settings> resolve(const FlagValues& flags, const StateFolder& state);

  const std::string& host() const { return text("host"); }
  std::uint16_t port() const { return static_cast<std::uint16_t>(number("port")); }
  const std::vector<std::string>& models() const { return value("model").values; }
  const std::string& backend() const { return text("backend"); }
  std::int32_t threads() const { return static_cast<std::int32_t>(number("threads")); }
  std::int32_t context_tokens() const { return static_cast<std::int32_t>(number("context")); }
  std::uint64_t memory_bytes() const { return static_cast<std::uint64_t>(number("memory")); }
  const std::string& kv_format() const { return text("kv-format"); }
  std::int32_t activation_bits() const { return static_cast<std::int32_t>(number("activations")); }
  /// What dense layers become when they are loaded, if they are not to stay.
  std::optional<Quantization> quantize() const;
  const std::string& speculation() const { return text("speculation"); }
  const std::string& draft_model() const { return text("draft-model"); }  // name or folder; empty: none
  /// NAME=FOLDER each.
  const std::vector<std::string>& adapters() const { return value("adapter").values; }
  std::uint64_t adapter_bytes() const { return static_cast<std::uint64_t>(number("adapter-memory")); }
  std::int64_t request_timeout_s() const { return number("request-timeout"); }
  bool open_browser() const { return number("open") != 0; }
  bool strict() const { return number("strict") != 0; }
  const std::string& log_level() const { return text("log-level"); }

  struct Value {
    std::vector<std::string> values;  // as written; one unless the setting is a list
    SettingSource source = SettingSource::kDefault;
    std::int64_t number = 0;  // of numbers, sizes (bytes) and switches (0, 1)
  };
  const Value& value(std::string_view name) const;

 private:
  Result<void> check_quantize_group() const;
  const std::string& text(std::string_view name) const { return value(name).values.front(); }
  std::int64_t number(std::string_view name) const { return value(name).number; }

  std::map<std::string, Value, std::less<>> values_;
};

/// Where a value came from, for people: "--port", "MLXD_PORT", "/home/me/.mlxd/config.toml", "default".
std::string describe_source(SettingSource source, std::string_view name, const StateFolder& state);

}  // namespace mlxd::cli
