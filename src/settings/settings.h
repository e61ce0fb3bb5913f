// The settings of the server, each resolved from the first place that names it: flag, MLXD_<NAME> in the
// environment, config.toml in the state folder, stored setting, default. A value: resolved once, then
// constant.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/size_text.h"
#include "settings/setting_table.h"

namespace mlxd {

enum class SettingSource { kFlag, kEnvironment, kConfigFile, kStored, kDefault };

/// Setting → values as written: on the command line (a switch without a value is "true"), or stored.
using FlagValues = std::map<std::string, std::vector<std::string>, std::less<>>;

/// The places that settings come from, as they were read.
struct SettingPlaces {
  FlagValues flags = {};
  FlagValues environment = {};
  FlagValues config = {};
  FlagValues stored = {};
  std::filesystem::path config_file = {};

  /// Reads the process's environment and `file`, if there is one. Errors: kInvalidArgument (an unknown key, a
  /// section), kIo.
  static Result<SettingPlaces> read(FlagValues flags, const std::filesystem::path& file);
};

/// A stored text as a value: lists have commas between their entries.
std::vector<std::string> stored_values(const SettingInfo& info, const std::string& text);

class Settings {
 public:
  /// Errors: kInvalidArgument naming the setting, the value and where it stands.
  static Result<Settings> resolve(const SettingPlaces& places);

  const std::string& host() const { return text("host"); }
  std::uint16_t port() const { return static_cast<std::uint16_t>(number("port")); }
  const std::vector<std::string>& models() const { return value("model").values; }
  /// Each begins with "/" or "~".
  const std::vector<std::string>& models_folders() const { return value("models-folder").values; }
  const std::string& backend() const { return text("backend"); }
  std::int32_t threads() const { return static_cast<std::int32_t>(number("threads")); }
  std::int32_t context_tokens() const { return static_cast<std::int32_t>(number("context")); }
  MemorySize memory() const;  // of the pool of models; 0 bytes: chosen by the program
  const std::string& eviction() const { return text("eviction"); }  // lru | lfu | ttl
  /// Negative: until memory is needed; absent: nothing was said.
  std::optional<Duration> keep_alive() const {
    return text("keep-alive").empty() ? std::nullopt : std::optional(Duration(number("keep-alive")));
  }
  Duration swap_wait() const { return Duration(number("swap-wait")); }
  const std::vector<std::string>& preload() const { return value("preload").values; }
  const std::string& kv_format() const { return text("kv-format"); }
  std::int32_t activation_bits() const { return static_cast<std::int32_t>(number("activations")); }
  const std::string& quantize() const { return text("quantize"); }  // "off", bits, or the name of a mode
  std::int32_t quantize_group() const { return static_cast<std::int32_t>(number("quantize-group")); }
  const std::string& speculation() const { return text("speculation"); }
  const std::string& draft_model() const { return text("draft-model"); }  // name or folder; empty: none
  /// NAME=FOLDER each.
  const std::vector<std::string>& adapters() const { return value("adapter").values; }
  std::uint64_t adapter_bytes() const { return static_cast<std::uint64_t>(number("adapter-memory")); }
  std::int64_t request_timeout_s() const { return number("request-timeout"); }
  std::int64_t batch_timeout_s() const { return number("batch-timeout"); }
  std::int64_t idle_timeout_s() const { return number("idle-timeout"); }
  std::int64_t hub_timeout_s() const { return number("hub-timeout"); }
  std::uint64_t max_body_bytes() const { return static_cast<std::uint64_t>(number("max-body")); }
  std::int64_t response_retention_days() const { return number("response-retention"); }
  std::int64_t response_storage_bytes() const { return number("response-storage"); }
  std::int64_t drain_timeout_s() const { return number("drain-timeout"); }
  const std::vector<std::string>& allowed_origins() const { return value("allowed-origin").values; }
  bool open_browser() const { return number("open") != 0; }
  bool strict() const { return number("strict") != 0; }
  /// Whether fields of requests that nothing knows are let through.
  bool ignores_unknown() const { return text("unknown-parameters") == "warn"; }
  bool registration() const { return number("registration") != 0; }
  std::int64_t session_days() const { return number("session-days"); }
  bool offline() const { return number("offline") != 0; }
  const std::string& log_level() const { return text("log-level"); }
  std::int64_t log_files() const { return number("log-files"); }
  std::uint64_t log_file_bytes() const { return static_cast<std::uint64_t>(number("log-file-size")); }

  struct Value {
    std::vector<std::string> values;  // as written; one unless the setting is a list
    SettingSource source = SettingSource::kDefault;
    std::int64_t number = 0;  // of numbers, sizes (bytes), times (nanoseconds) and switches (0, 1)
  };
  const Value& value(std::string_view name) const;

 private:
  const std::string& text(std::string_view name) const { return value(name).values.front(); }
  std::int64_t number(std::string_view name) const { return value(name).number; }

  std::map<std::string, Value, std::less<>> values_;
};

/// Errors: kInvalidArgument about the value, without naming the setting.
Result<void> check_setting(const SettingInfo& info, Settings::Value& value);

/// There is no setting `name`: with the nearest.
Error unknown_setting(std::string_view name);

/// Where a value came from, for people: "--port", "MLXD_PORT", "/home/me/.mlxd/config.toml", "stored",
/// "default".
std::string describe_source(SettingSource source, std::string_view name,
                            const std::filesystem::path& config_file);

}  // namespace mlxd
