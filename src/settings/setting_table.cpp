#include "settings/setting_table.h"

#include <algorithm>
#include <array>
#include <limits>

namespace mlxd {
namespace {

using Kind = SettingKind;
using Effect = SettingEffect;

constexpr std::int64_t kMaxSize = std::int64_t{1} << 50;

constexpr std::array kInfos{
    SettingInfo{"host", Kind::kText, "127.0.0.1", "ADDRESS", "address to listen at", "server"},
    SettingInfo{.name = "port",
                .kind = Kind::kNumber,
                .default_value = "10242",
                .placeholder = "PORT",
                .help = "port to listen at; 0: any free one",
                .category = "server",
                .max = 65535},
    SettingInfo{"model", Kind::kList, "", "MODEL",
                "model to load at once, by name or folder; may be repeated", "models"},
    SettingInfo{
        .name = "models-folder",
        .kind = Kind::kList,
        .default_value = "",
        .placeholder = "FOLDER",
        .help = "another folder whose models are listed and served, beside HOME/models and the hub's cache: "
                "NAME or ORG/NAME in it; begins with / or ~; may be repeated",
        .category = "models",
        .effect = Effect::kAtOnce},
    SettingInfo{.name = "backend",
                .kind = Kind::kText,
                .default_value = "auto",
                .placeholder = "auto|cpu",
                .help = "what computes",
                .category = "models",
                .choices = "auto, cpu"},
    SettingInfo{.name = "threads",
                .kind = Kind::kNumber,
                .default_value = "0",
                .placeholder = "N",
                .help = "compute threads; 0: one for each core",
                .category = "models",
                .max = 1024},
    SettingInfo{"context", Kind::kNumber, "0", "TOKENS",
                "longest context; 0: the model's own, up to 16384 or what a good part of --memory holds",
                "models"},
    SettingInfo{
        .name = "memory",
        .kind = Kind::kMemory,
        .default_value = "0",
        .placeholder = "SIZE",
        .help = "most memory for weights, K/V, scratch and adapters of all loaded models together, e.g. 4GB, "
                "or 50% of the machine's; 0: chosen by the program",
        .category = "models",
        .effect = Effect::kAtOnce},
    SettingInfo{.name = "eviction",
                .kind = Kind::kText,
                .default_value = "lru",
                .placeholder = "POLICY",
                .help = "which unused model goes when memory is needed: lru (not used for the longest time), "
                        "lfu (least often used) or ttl (the end of whose keep-alive is next)",
                .category = "models",
                .effect = Effect::kAtOnce,
                .choices = "lru, lfu, ttl"},
    SettingInfo{.name = "keep-alive",
                .kind = Kind::kTime,
                .default_value = "",
                .placeholder = "TIME",
                .help = "how long a model stays loaded that nobody uses, e.g. 5m; -1: until its memory is "
                        "needed (without a value 5m with ttl, else -1)",
                .category = "models",
                .effect = Effect::kAtOnce,
                .min = std::numeric_limits<std::int64_t>::min()},
    SettingInfo{.name = "swap-wait",
                .kind = Kind::kTime,
                .default_value = "5s",
                .placeholder = "TIME",
                .help = "the longest that requests for a model in use keep out another that does not fit "
                        "beside it",
                .category = "models",
                .effect = Effect::kAtOnce},
    SettingInfo{"preload", Kind::kList, "", "MODEL",
                "model to load in the background at the start and to keep loaded, by name or folder; may be "
                "repeated",
                "models"},
    SettingInfo{.name = "kv-format",
                .kind = Kind::kText,
                .default_value = "fp16",
                .placeholder = "FORMAT",
                .help = "how K/V are kept: fp16, bf16, or int8 in half the memory",
                .category = "models",
                .choices = "fp16, bf16, int8"},
    SettingInfo{.name = "activations",
                .kind = Kind::kNumber,
                .default_value = "8",
                .placeholder = "BITS",
                .help = "precision of what meets quantized weights: 8, or 16 for twice the arithmetic",
                .category = "models",
                .choices = "8, 16"},
    SettingInfo{.name = "quantize",
                .kind = Kind::kText,
                .default_value = "off",
                .placeholder = "BITS",
                .help = "quantize a model that is not when it is loaded: 2, 3, 4, 5, 6 or 8 bits, or mxfp4, "
                        "mxfp8, nvfp4",
                .category = "models",
                .choices = "off, 2, 3, 4, 5, 6, 8, mxfp4, mxfp8, nvfp4"},
    SettingInfo{.name = "quantize-group",
                .kind = Kind::kNumber,
                .default_value = "64",
                .placeholder = "N",
                .help = "weights that share a scale where --quantize is a number of bits: 32, 64 or 128",
                .category = "models",
                .choices = "32, 64, 128"},
    SettingInfo{
        .name = "speculation",
        .kind = Kind::kText,
        .default_value = "auto",
        .placeholder = "METHOD",
        .help =
            "guess tokens ahead and verify them together: off, lookup (in the text so far), draft (by the "
            "draft model) or auto; answers are the same",
        .category = "models",
        .choices = "auto, off, lookup, draft"},
    SettingInfo{"draft-model", Kind::kText, "", "MODEL",
                "small model of the same vocabulary that guesses for the others, by name or folder",
                "models"},
    SettingInfo{
        "adapter", Kind::kList, "", "NAME=FOLDER",
        "LoRA adapter to be asked for as MODEL+NAME, beside those in the models' own folders 'adapters' "
        "and in HOME/adapters; may be repeated",
        "models"},
    SettingInfo{.name = "adapter-memory",
                .kind = Kind::kSize,
                .default_value = "1GB",
                .placeholder = "SIZE",
                .help = "most memory for the loaded adapters of a model, which is part of --memory",
                .category = "models",
                .max = kMaxSize},
    SettingInfo{.name = "request-timeout",
                .kind = Kind::kNumber,
                .default_value = "900",
                .placeholder = "SECONDS",
                .help = "longest that an answer may take, streams too; 0: any time",
                .category = "requests",
                .effect = Effect::kAtOnce},
    SettingInfo{.name = "batch-timeout",
                .kind = Kind::kNumber,
                .default_value = "3600",
                .placeholder = "SECONDS",
                .help = "the same of requests below /v1/batch, which come after all others; 0: any time",
                .category = "requests",
                .effect = Effect::kAtOnce},
    SettingInfo{.name = "idle-timeout",
                .kind = Kind::kNumber,
                .default_value = "75",
                .placeholder = "SECONDS",
                .help = "how long a connection stays open that has no request under way",
                .category = "requests",
                .effect = Effect::kAtOnce,
                .min = 1,
                .max = 86400},
    SettingInfo{.name = "max-body",
                .kind = Kind::kSize,
                .default_value = "64MiB",
                .placeholder = "SIZE",
                .help = "largest body of a request",
                .category = "requests",
                .min = 1024,
                .max = std::int64_t{1} << 32},
    SettingInfo{.name = "response-retention",
                .kind = Kind::kNumber,
                .default_value = "30",
                .placeholder = "DAYS",
                .help =
                    "how long answers of /v1/responses are kept for requests that build on them; 0: not at "
                    "all",
                .category = "requests",
                .effect = Effect::kAtOnce,
                .max = 36500},
    SettingInfo{.name = "response-storage",
                .kind = Kind::kSize,
                .default_value = "1GB",
                .placeholder = "SIZE",
                .help = "most that kept answers of /v1/responses may take together; the oldest go first",
                .category = "requests",
                .effect = Effect::kAtOnce,
                .min = 1000,
                .max = kMaxSize},
    SettingInfo{.name = "drain-timeout",
                .kind = Kind::kNumber,
                .default_value = "30",
                .placeholder = "SECONDS",
                .help = "how long running requests may take to finish after the first SIGTERM",
                .category = "requests",
                .max = 3600},
    SettingInfo{"allowed-origin", Kind::kList, "", "ORIGIN",
                "web origin whose pages may call the API beside those of loopback, e.g. "
                "https://chat.example.org; may "
                "be repeated",
                "requests"},
    SettingInfo{"open", Kind::kSwitch, "false", "", "open the address in the browser when ready", "server"},
    SettingInfo{"strict", Kind::kSwitch, "false", "",
                "refuse requests with keys inside messages that nothing reads", "requests"},
    SettingInfo{
        .name = "unknown-parameters",
        .kind = Kind::kText,
        .default_value = "refuse",
        .placeholder = "refuse|warn",
        .help =
            "what becomes of fields that a request to a model has and this program does not know: refuse "
            "(400, naming the field) or warn (let through, and named in the answer's header x-mlxd-ignored)",
        .category = "requests",
        .effect = Effect::kAtOnce,
        .choices = "refuse, warn"},
    SettingInfo{.name = "registration",
                .kind = Kind::kSwitch,
                .default_value = "true",
                .placeholder = "on|off",
                .help = "strangers may ask for an account, which an administrator then approves",
                .category = "accounts",
                .effect = Effect::kAtOnce},
    SettingInfo{.name = "session-days",
                .kind = Kind::kNumber,
                .default_value = "7",
                .placeholder = "DAYS",
                .help = "how long a login lasts",
                .category = "accounts",
                .effect = Effect::kAtOnce,
                .min = 1,
                .max = 365},
    SettingInfo{.name = "log-level",
                .kind = Kind::kText,
                .default_value = "info",
                .placeholder = "LEVEL",
                .help = "trace, debug, info, warn, error or off",
                .category = "log",
                .effect = Effect::kAtOnce,
                .choices = "trace, debug, info, warn, error, off"},
    SettingInfo{.name = "log-files",
                .kind = Kind::kNumber,
                .default_value = "5",
                .placeholder = "N",
                .help = "log files kept in HOME/logs, beside standard error; 0: none",
                .category = "log",
                .max = 100},
    SettingInfo{.name = "log-file-size",
                .kind = Kind::kSize,
                .default_value = "10MB",
                .placeholder = "SIZE",
                .help = "size at which a log file is put aside and another begun",
                .category = "log",
                .min = 1000,
                .max = std::int64_t{1} << 40},
    SettingInfo{.name = "offline",
                .kind = Kind::kSwitch,
                .default_value = "false",
                .placeholder = "on|off",
                .help =
                    "ask nothing of the hub: downloads and searches are refused, downloads under way pause, "
                    "and what is on this machine is served; HF_HUB_OFFLINE=1 does the same",
                .category = "hub",
                .effect = Effect::kAtOnce},
    SettingInfo{.name = "hub-timeout",
                .kind = Kind::kNumber,
                .default_value = "30",
                .placeholder = "SECONDS",
                .help = "how long the hub may send no byte before a request to it is tried again or given up",
                .category = "hub",
                .effect = Effect::kAtOnce,
                .min = 1,
                .max = 3600},
    SettingInfo{.name = "hf-token",
                .kind = Kind::kSecret,
                .default_value = "",
                .placeholder = "TOKEN",
                .help = "Hugging Face token for gated models, where HF_TOKEN is not set; kept encrypted",
                .category = "hub",
                .effect = Effect::kAtOnce},
};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string_view to_string(SettingKind kind) {
  switch (kind) {
    case SettingKind::kText:
      return "text";
    case SettingKind::kNumber:
      return "number";
    case SettingKind::kSize:
      return "size";
    case SettingKind::kMemory:
      return "memory";
    case SettingKind::kTime:
      return "time";
    case SettingKind::kSwitch:
      return "switch";
    case SettingKind::kList:
      return "list";
    case SettingKind::kSecret:
      return "secret";
  }
  return "text";
}

std::span<const SettingInfo> setting_infos() { return kInfos; }

const SettingInfo* find_setting(std::string_view name) {
  const auto found =
      std::find_if(kInfos.begin(), kInfos.end(), [&](const SettingInfo& info) { return info.name == name; });
  return found == kInfos.end() ? nullptr : &*found;
}

std::string environment_name(std::string_view setting) {
  std::string name = "MLXD_";
  for (const char c : setting)
    name += c == '-' ? '_' : (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

std::string settings_page() {
  std::string page =
      "# Settings\n\n"
      "Made from the program's own table (`src/settings/setting_table.cpp`); a test holds the two "
      "together.\n\n"
      "Each is a flag of `mlxd serve` (`--NAME`), a variable (`MLXD_NAME`, with `_` for `-`), a key of\n"
      "`~/.mlxd/config.toml` (with `_` for `-`) and a stored setting (`mlxd config set NAME VALUE`, `PATCH\n"
      "/api/v1/settings`). The first of these places that names it counts: flag, variable, config.toml, "
      "stored,\n"
      "default. `mlxd config` prints each value and where it came from. Secrets are only stored.\n\n"
      "| name | kind | default | takes effect | meaning |\n|---|---|---|---|---|\n";
  for (const SettingInfo& info : kInfos) {
    page += "| `" + std::string(info.name) + "` | " + std::string(to_string(info.kind));
    if (!info.choices.empty()) page += ": " + std::string(info.choices);
    page +=
        " | " + (info.default_value.empty() ? std::string("–") : "`" + std::string(info.default_value) + "`");
    page += std::string(" | ") + (info.effect == SettingEffect::kAtOnce ? "at once" : "at the next start");
    page += " | " + escaped(info.help) + " |\n";
  }
  return page;
}

}  // namespace mlxd
