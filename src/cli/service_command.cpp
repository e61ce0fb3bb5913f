#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/service_unit.h"
#include "server/runtime_file.h"

extern char** environ;

namespace mlxd::cli {
namespace {

namespace fs = std::filesystem;

#ifdef __APPLE__
constexpr bool kLaunchd = true;
#else
constexpr bool kLaunchd = false;
#endif

Result<fs::path> home_folder() {
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return Error(ErrorKind::kIo, "HOME is not set");
  return fs::path(home);
}

Result<fs::path> unit_file() {
  const fs::path home = TRY(home_folder());
  if (kLaunchd) return home / "Library" / "LaunchAgents" / "mlxd.plist";
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const fs::path folder = config != nullptr && *config == '/' ? fs::path(config) : home / ".config";
  return folder / "systemd" / "user" / "mlxd.service";
}

Result<fs::path> this_program() {
  std::error_code code;
#ifdef __APPLE__
  std::array<char, 4096> path{};
  auto size = static_cast<std::uint32_t>(path.size());
  if (_NSGetExecutablePath(path.data(), &size) != 0)
    return Error(ErrorKind::kIo, "the path of this program is too long");
  fs::path program = fs::canonical(path.data(), code);
#else
  fs::path program = fs::read_symlink("/proc/self/exe", code);
#endif
  if (code) return Error(ErrorKind::kIo, "cannot find this program's file: " + code.message());
  return program;
}

/// Runs a program to its end; its output is this one's. Errors: kNotFound (no such program), kIo.
Result<int> run_program(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ);
  if (failed == ENOENT) return not_found("there is no program " + words.front() + " here");
  if (failed != 0)
    return Error(ErrorKind::kIo, "cannot start " + words.front() + ": " + std::strerror(failed));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR)
      return Error(ErrorKind::kIo, "cannot wait for " + words.front() + ": " + std::strerror(errno));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

Result<void> run_or_fail(const std::vector<std::string>& words, const std::string& what_to_do) {
  const int code = TRY(run_program(words));
  if (code == 0) return {};
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return Error(ErrorKind::kIo, "'" + line + "' failed (" + std::to_string(code) + "): " + what_to_do);
}

Result<void> write_file(const fs::path& file, const std::string& text) {
  std::error_code code;
  fs::create_directories(file.parent_path(), code);
  const fs::path fresh = file.string() + ".new";
  {
    std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
    out << text;
    out.flush();
    if (!out) return Error(ErrorKind::kIo, "cannot write " + fresh.string());
  }
  fs::rename(fresh, file, code);
  if (code) return Error(ErrorKind::kIo, "cannot write " + file.string() + ": " + code.message());
  return {};
}

std::string launchd_domain() { return "gui/" + std::to_string(::getuid()); }

Result<ServiceUnit> make_unit(const CommandContext& context, const ServiceOptions& options) {
  ServiceUnit unit;
  unit.program = TRY(this_program());
  unit.arguments = {"serve"};
  unit.state_folder = context.state.root();
  // Wrong ones are told now, and not at the next login.
  TRY(resolve_settings(options.flags, context.state));
  for (const auto& [name, values] : options.flags) {
    for (const std::string& value : values) {
      unit.arguments.push_back("--" + name);
      unit.arguments.push_back(value);
    }
  }
  std::error_code code;
  unit.environment.emplace_back("MLXD_HOME", fs::absolute(context.state.root(), code).string());
  for (const char* name : {"HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HTTPS_PROXY", "NO_PROXY"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0')
      unit.environment.emplace_back(name, value);
  }
  return unit;
}

Result<int> install(const CommandContext& context, const ServiceOptions& options) {
  const fs::path file = TRY(unit_file());
  const ServiceUnit unit = TRY(make_unit(context, options));
  TRY(write_file(file, kLaunchd ? launchd_agent(unit) : systemd_unit(unit)));
  context.console.write_line("wrote " + file.string());
  if (kLaunchd) {
    std::error_code ignored;
    fs::create_directories(unit.state_folder / "logs", ignored);
    TRY(run_program({"launchctl", "bootout", launchd_domain() + "/mlxd"}));  // an older one, if there is one
    TRY(run_or_fail({"launchctl", "bootstrap", launchd_domain(), file.string()},
                    "the service starts at the next login"));
  } else {
    TRY(run_or_fail({"systemctl", "--user", "daemon-reload"},
                    "the service starts at the next login if systemd runs for this user"));
    TRY(run_or_fail({"systemctl", "--user", "enable", "--now", "mlxd.service"},
                    "see 'journalctl --user -u mlxd'"));
  }
  context.console.write_line("the server runs now and at each login; 'mlxd service status' shows it");
  return kExitOk;
}

Result<int> uninstall(const CommandContext& context) {
  const fs::path file = TRY(unit_file());
  std::error_code code;
  if (!fs::exists(file, code)) return not_found("no service is installed: there is no " + file.string());
  if (kLaunchd)
    TRY(run_program({"launchctl", "bootout", launchd_domain() + "/mlxd"}));
  else
    TRY(run_or_fail({"systemctl", "--user", "disable", "--now", "mlxd.service"}, "remove " + file.string()));
  fs::remove(file, code);
  if (code) return Error(ErrorKind::kIo, "cannot remove " + file.string() + ": " + code.message());
  context.console.write_line("removed " + file.string());
  return kExitOk;
}

Result<int> status(const CommandContext& context) {
  const fs::path file = TRY(unit_file());
  std::error_code code;
  const bool installed = fs::exists(file, code);
  context.console.write_line(installed ? "installed: " + file.string() : "not installed");
  const auto server = read_runtime_file(context.state.root());
  context.console.write_line(
      server ? "running at " + server->url + ", process " + std::to_string(server->process) : "not running");
  return server ? kExitOk : kExitFailure;
}

}  // namespace

Result<int> service_command(const CommandContext& context, const ServiceOptions& options) {
  if (options.action == "install") return install(context, options);
  if (options.action == "uninstall") return uninstall(context);
  return status(context);
}

}  // namespace mlxd::cli
