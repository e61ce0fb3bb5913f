#include "cli/settings.h"

#include <algorithm>
#include <array>
#include <exception>
#include <fstream>
#include <limits>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>

#include "base/check.h"
#include "base/nearest_names.h"
#include "cli/format.h"

namespace mlxd::cli {
namespace {

constexpr std::array kInfos{
    SettingInfo{"host", SettingKind::kText, "127.0.0.1", "ADDRESS", "address to listen at"},
    SettingInfo{"port", SettingKind::kNumber, "10242", "PORT", "port to listen at; 0: any free one"},
    SettingInfo{"model", SettingKind::kList, "", "MODEL",
                "model to load at once, by name or folder; may be repeated"},
    SettingInfo{"backend", SettingKind::kText, "auto", "auto|cpu", "what computes"},
    SettingInfo{"threads", SettingKind::kNumber, "0", "N", "compute threads; 0: one for each core"},
    SettingInfo{"context", SettingKind::kNumber, "0", "TOKENS", "longest context; 0: as long as the model's"},
    SettingInfo{"memory", SettingKind::kSize, "0", "SIZE",
                "most memory for weights, K/V, scratch and adapters of a loaded model, e.g. 4GB; 0: chosen "
                "by the program"},
    SettingInfo{"kv-format", SettingKind::kText, "fp16", "FORMAT",
                "how K/V are kept: fp16, bf16, or int8 in half the memory"},
    SettingInfo{"activations", SettingKind::kNumber, "8", "BITS",
                "precision of what meets quantized weights: 8, or 16 for twice the arithmetic"},
    SettingInfo{
        "quantize", SettingKind::kText, "off", "BITS",
        "quantize a model that is not when it is loaded: 2, 3, 4, 5, 6 or 8 bits, or mxfp4, mxfp8, nvfp4"},
    SettingInfo{"quantize-group", SettingKind::kNumber, "64", "N",
                "weights that share a scale where --quantize is a number of bits: 32, 64 or 128"},
    SettingInfo{
        "speculation", SettingKind::kText, "auto", "METHOD",
        "guess tokens ahead and verify them together: off, lookup (in the text so far), draft (by the "
        "draft model) or auto; answers are the same"},
    SettingInfo{"draft-model", SettingKind::kText, "", "MODEL",
                "small model of the same vocabulary that guesses for the others, by name or folder"},
    SettingInfo{
        "adapter", SettingKind::kList, "", "NAME=FOLDER",
        "LoRA adapter to be asked for as MODEL+NAME, beside those in the models' own folders 'adapters' "
        "and in HOME/adapters; may be repeated"},
    SettingInfo{"adapter-memory", SettingKind::kSize, "1GB", "SIZE",
                "most memory for the loaded adapters of a model, which is part of --memory"},
    SettingInfo{"request-timeout", SettingKind::kNumber, "900", "SECONDS",
                "longest that an answer may take, streams too; 0: any time"},
    SettingInfo{"open", SettingKind::kSwitch, "false", "", "open the address in the browser when ready"},
    SettingInfo{"strict", SettingKind::kSwitch, "false", "",
                "refuse requests with keys inside messages that nothing reads"},
    SettingInfo{"log-level", SettingKind::kText, "info", "LEVEL", "trace, debug, info, warn, error or off"},
};

const SettingInfo* find_info(std::string_view name) {
  for (const SettingInfo& info : kInfos)
    if (info.name == name) return &info;
  return nullptr;
}

std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (const std::string_view part = trim(text.substr(0, comma)); !part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

Result<void> require_one_of(const std::string& text, std::initializer_list<std::string_view> allowed) {
  std::string list;
  for (const std::string_view choice : allowed) {
    if (text == choice) return {};
    list += (list.empty() ? "" : ", ") + std::string(choice);
  }
  return invalid_argument("'" + text + "' is none of " + list);
}

// Checks what is written and fills in the number.
Result<void> check_value(const SettingInfo& info, Settings::Value& value) {
  if (info.kind == SettingKind::kList) return {};
  if (value.values.size() != 1)
    return invalid_argument("given " + std::to_string(value.values.size()) + " times, must be one value");
  const std::string& text = value.values.front();
  constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
  if (info.name == "port") {
    value.number = TRY(parse_integer(text, 0, 65535));
  } else if (info.name == "threads") {
    value.number = TRY(parse_integer(text, 0, 1024));
  } else if (info.name == "activations") {
    TRY(require_one_of(text, {"8", "16"}));
    value.number = TRY(parse_integer(text, 8, 16));
  } else if (info.name == "quantize") {
    TRY(require_one_of(text, {"off", "2", "3", "4", "5", "6", "8", "mxfp4", "mxfp8", "nvfp4"}));
  } else if (info.name == "quantize-group") {
    TRY(require_one_of(text, {"32", "64", "128"}));
    value.number = TRY(parse_integer(text, 32, 128));
  } else if (info.kind == SettingKind::kNumber) {
    value.number = TRY(parse_integer(text, 0, kMax));
  } else if (info.kind == SettingKind::kSize) {
    value.number = static_cast<std::int64_t>(TRY(parse_bytes(text)));
  } else if (info.kind == SettingKind::kSwitch) {
    value.number = TRY(parse_switch(text)) ? 1 : 0;
  } else if (info.name == "backend") {
    if (text == "mlx" || text == "cuda")
      return unsupported("this build has no '" + text + "' backend: use auto or cpu");
    TRY(require_one_of(text, {"auto", "cpu"}));
  } else if (info.name == "kv-format") {
    TRY(require_one_of(text, {"fp16", "bf16", "int8"}));
  } else if (info.name == "speculation") {
    TRY(require_one_of(text, {"auto", "off", "lookup", "draft"}));
  } else if (info.name == "log-level") {
    TRY(require_one_of(text, {"trace", "debug", "info", "warn", "error", "off"}));
  } else if (text.empty() && !info.default_value.empty()) {
    return invalid_argument("must not be empty");
  }
  return {};
}

// Key → values of config.toml; empty if there is no such file.
Result<FlagValues> read_config(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return FlagValues{};
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
    if (find_info(name) == nullptr) {
      std::vector<std::string> names;
      for (const SettingInfo& info : kInfos) names.emplace_back(info.name);
      const auto nearest = nearest_names(name, names, 1);
      return invalid_argument(path.string() + ": there is no setting '" + item.name + "'" +
                              (nearest.empty() ? "" : "; nearest: " + nearest.front()));
    }
    auto& target = values[name];
    target.insert(target.end(), item.inputs.begin(), item.inputs.end());
  }
  return values;
}

}  // namespace

std::span<const SettingInfo> setting_infos() { return kInfos; }

std::string environment_name(std::string_view setting) {
  std::string name = "MLXD_";
  for (const char c : setting)
    name += c == '-' ? '_' : (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

Result<Settings> Settings::resolve(const FlagValues& flags, const StateFolder& state) {
  const FlagValues config = TRY(read_config(state.config_file()));
  Settings settings;
  for (const SettingInfo& info : kInfos) {
    const std::string name(info.name);
    Value value;
    if (const auto flag = flags.find(name); flag != flags.end()) {
      value = {flag->second, SettingSource::kFlag, 0};
    } else if (const auto variable = environment(environment_name(name).c_str())) {
      value.values = info.kind == SettingKind::kList ? split_commas(*variable) : std::vector{*variable};
      value.source = SettingSource::kEnvironment;
    } else if (const auto key = config.find(name); key != config.end()) {
      value = {key->second, SettingSource::kConfigFile, 0};
    } else if (info.kind != SettingKind::kList) {
      value.values = {std::string(info.default_value)};
    }
    if (const auto checked = check_value(info, value); !checked) {
      const std::string place = value.source == SettingSource::kConfigFile
                                    ? name + " in " + state.config_file().string()
                                    : describe_source(value.source, name, state);
      return Error(checked.error().kind, place + ": " + checked.error().message, name);
    }
    settings.values_.emplace(name, std::move(value));
  }
  TRY(settings.check_quantize_group());
  return settings;
}

Result<void> Settings::check_quantize_group() const {
  const bool has_bits = quantize() && quantize()->mode == QuantizationMode::kAffine;
  if (has_bits || value("quantize-group").source != SettingSource::kFlag) return {};
  return invalid_argument("--quantize-group is for --quantize with a number of bits", "quantize-group");
}

std::optional<Quantization> Settings::quantize() const {
  const std::string& name = text("quantize");
  if (name == "off") return std::nullopt;
  if (const auto form = small_float_form(name)) return form;
  return Quantization{QuantizationMode::kAffine, name.front() - '0',
                      static_cast<std::int32_t>(number("quantize-group"))};
}

const Settings::Value& Settings::value(std::string_view name) const {
  const auto found = values_.find(name);
  CHECK(found != values_.end());
  return found->second;
}

std::string describe_source(SettingSource source, std::string_view name, const StateFolder& state) {
  switch (source) {
    case SettingSource::kFlag:
      return "--" + std::string(name);
    case SettingSource::kEnvironment:
      return environment_name(name);
    case SettingSource::kConfigFile:
      return state.config_file().string();
    case SettingSource::kDefault:
      return "default";
  }
  return "default";
}

}  // namespace mlxd::cli
