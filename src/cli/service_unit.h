// The file that makes an operating system run the server at login: a systemd user unit (systemd.service(5))
// or a launchd agent (launchd.plist(5)). Pure.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mlxd::cli {

struct ServiceUnit {
  std::filesystem::path program;       // absolute
  std::vector<std::string> arguments;  // "serve", "--port", …
  std::filesystem::path state_folder;  // its log is below
  /// Variables that the server reads and a login session may not have: MLXD_HOME, HF_HOME, ….
  std::vector<std::pair<std::string, std::string>> environment;
};

std::string systemd_unit(const ServiceUnit& unit);
std::string launchd_agent(const ServiceUnit& unit);

}  // namespace mlxd::cli
