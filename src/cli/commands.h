// The subcommands of mlxd, free of flag parsing: each takes its options as a value and gives its exit code,
// or an error that the caller prints (exit code 1). Called on the main thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cli/console.h"
#include "cli/settings.h"
#include "cli/state_folder.h"

namespace mlxd::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

/// What every command gets. The console outlives the command.
struct CommandContext {
  Console& console;
  StateFolder state;
};

struct ServeOptions {
  FlagValues flags;
};
Result<int> serve_command(const CommandContext& context, const ServeOptions& options);

struct RunOptions {
  FlagValues flags;                // of settings: threads, context, backend, memory
  std::vector<std::string> words;  // [MODEL] [PROMPT]
  /// Chat settings in the order given: name, value.
  std::vector<std::pair<std::string, std::string>> chat_settings;
};
Result<int> run_command(const CommandContext& context, const RunOptions& options);

struct ImportCommandOptions {
  std::string file;
  std::string name;
  bool force = false;
};
Result<int> import_command(const CommandContext& context, const ImportCommandOptions& options);

struct ListOptions {
  bool json = false;
};
Result<int> list_command(const CommandContext& context, const ListOptions& options);

struct ShowOptions {
  std::string model;
  bool json = false;
};
Result<int> show_command(const CommandContext& context, const ShowOptions& options);

struct PsOptions {
  bool watch = false;
  bool json = false;
};
Result<int> ps_command(const CommandContext& context, const PsOptions& options);

struct StopOptions {
  std::string model;
  bool now = false;  // cut what runs
};
Result<int> stop_command(const CommandContext& context, const StopOptions& options);

struct LaunchOptions {
  std::string agent;
  std::string model;  // empty: a loaded one, or the only one
  std::string key;    // empty: MLXD_KEY, or any where the server asks for none
  bool print = false;
  std::vector<std::string> arguments;  // for the agent
};
/// Does not return if the agent could be started: this process becomes it.
Result<int> launch_command(const CommandContext& context, const LaunchOptions& options);

struct ServiceOptions {
  std::string action;  // "install", "uninstall", "status"
  FlagValues flags;    // of settings, for `install`: host, port, model, memory
};
Result<int> service_command(const CommandContext& context, const ServiceOptions& options);

inline constexpr std::int32_t kDefaultBenchTimeLimitS = 600;

struct BenchCommandOptions {
  FlagValues flags;                           // of settings: threads, backend
  std::string model;                          // empty: the only or last used one
  std::optional<std::int32_t> prompt_tokens;  // absent: what suits the workload
  std::int32_t tokens = 128;
  std::vector<std::int32_t> concurrency;  // empty: what suits the workload
  std::int32_t rounds = 3;
  std::uint64_t seed = 1;
  bool profile = false;  // also where the time of steps goes
  double temperature = 0.0;
  bool json = false;
  // A workload, in process or on servers; without any of these the fixed measurement is made.
  std::string workload;
  std::vector<std::string> urls;           // at most two
  std::vector<std::string> server_models;  // for each URL, or one for both
  std::vector<std::int32_t> banned_tokens;
  std::optional<std::int32_t> requests, shared_tokens, turns, time_limit_s;
  std::optional<double> rate_per_s;
};
Result<int> bench_command(const CommandContext& context, const BenchCommandOptions& options);

struct ConvertCommandOptions {
  FlagValues flags;  // of settings, for --perplexity: threads, backend, kv-format, activations
  std::string source;
  std::string out;
  std::optional<std::int32_t> bits, group_size;
  std::string mode = "affine";
  std::string recipe;  // one of mlx-lm's, or empty
  std::string dtype;   // float16, bfloat16, float32, or empty
  std::string scales;  // mlx, least-squares, or empty
  bool dequantize = false;
  bool force = false;
  std::string perplexity_file;  // empty: not measured
  bool json = false;
};
Result<int> convert_command(const CommandContext& context, const ConvertCommandOptions& options);

struct PerplexityCommandOptions {
  FlagValues flags;  // of settings: threads, backend, kv-format, activations
  std::string model;
  std::string file;
  std::int32_t context_tokens = 0;  // 0: by default, as in PerplexityOptions
  std::int32_t stride_tokens = 0;
  bool reference = false;
  bool json = false;
};
Result<int> perplexity_command(const CommandContext& context, const PerplexityCommandOptions& options);

struct ProbeCommandOptions {
  FlagValues flags;   // of settings: threads, backend, kv-format, activations, context
  std::string model;  // empty with `all`
  bool all = false;
  std::string save;   // folder for reports; empty: none are kept
  std::string audit;  // folder of reports to compare with; empty: none
  bool json = false;
};
Result<int> probe_command(const CommandContext& context, const ProbeCommandOptions& options);

struct DoctorOptions {
  bool json = false;
};
Result<int> doctor_command(const CommandContext& context, const DoctorOptions& options);

struct VersionOptions {
  bool json = false;
};
Result<int> version_command(const CommandContext& context, const VersionOptions& options);

/// `verb` is the subcommand's name; empty: list.
struct ConfigOptions {
  std::string verb;
  std::string name;
  std::optional<std::string> value;  // absent: read from standard input
  bool json = false;
};
Result<int> config_command(const CommandContext& context, const ConfigOptions& options);

struct UserOptions {
  std::string verb;
  std::string email;
  std::string name;
  std::string role;
  bool yes = false;  // does not ask
  bool json = false;
};
Result<int> user_command(const CommandContext& context, const UserOptions& options);

struct KeyOptions {
  std::string verb;
  std::string key;   // its name, when made; else id, name or beginning
  std::string user;  // empty: the only account
  std::vector<std::string> models, endpoints;
  bool admin = false;
  bool cloud = false;
  std::string priority = "normal";
  std::int64_t expires_days = 0;  // 0: never
  std::int64_t requests_per_minute = 0, tokens_per_minute = 0, max_concurrent = 0, tokens_per_month = 0;
  bool json = false;
};
Result<int> key_command(const CommandContext& context, const KeyOptions& options);

struct ProfileOptions {
  std::string verb;
  std::string name;  // of a profile, or a file to import
  std::string new_name;
  bool json = false;
};
Result<int> profile_command(const CommandContext& context, const ProfileOptions& options);

}  // namespace mlxd::cli
