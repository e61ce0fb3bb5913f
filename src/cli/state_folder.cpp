#include "cli/state_folder.h"

#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "catalog/hub_places.h"
#include "cli/format.h"

namespace mlxd::cli {
namespace {

constexpr std::size_t kMaxNameBytes = 4096;

std::filesystem::path user_home() {
  if (const auto home = environment("HOME")) return *home;
  const passwd* user = getpwuid(getuid());
  return user != nullptr && user->pw_dir != nullptr ? user->pw_dir : "/";
}

}  // namespace

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::filesystem::path expand_home(const std::filesystem::path& path) {
  const std::string text = path.string();
  if (text == "~") return user_home();
  if (text.starts_with("~/")) return user_home() / text.substr(2);
  return path;
}

StateFolder StateFolder::locate(const std::optional<std::string>& flag) {
  if (flag) return StateFolder(expand_home(*flag));
  if (const auto home = environment("MLXD_HOME")) return StateFolder(expand_home(*home));
  return StateFolder(user_home() / ".mlxd");
}

Result<void> StateFolder::ensure() const {
  std::error_code error;
  if (std::filesystem::is_directory(root_, error)) return {};
  if (!std::filesystem::create_directories(root_, error) && error)
    return io_error("cannot make the state folder " + root_.string(), error.value());
  std::filesystem::permissions(root_, std::filesystem::perms::owner_all, error);
  if (error) return io_error("cannot protect the state folder " + root_.string(), error.value());
  return {};
}

std::optional<std::string> StateFolder::last_model() const {
  std::ifstream file(root_ / "last_model");
  std::string name;
  if (!std::getline(file, name)) return std::nullopt;
  name = trim(name);
  if (name.empty() || name.size() > kMaxNameBytes) return std::nullopt;
  return name;
}

Result<void> StateFolder::remember_model(const std::string& name) const {
  if (last_model() == name) return {};
  TRY(ensure());
  // Written beside and renamed, so that two programs at once leave one whole name.
  const auto target = root_ / "last_model";
  const auto fresh = root_ / ("last_model." + std::to_string(getpid()));
  {
    std::ofstream file(fresh, std::ios::trunc);
    file << name << "\n";
    file.close();
    if (!file) return io_error("cannot write " + fresh.string(), errno);
  }
  std::error_code error;
  std::filesystem::rename(fresh, target, error);
  if (error) return io_error("cannot write " + target.string(), error.value());
  return {};
}

std::filesystem::path hub_cache_folder() { return mlxd::hub_cache_folder(); }

}  // namespace mlxd::cli
