// The folder that holds this program's state (~/.mlxd) and the files that the command line keeps in it. A
// value.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"

namespace mlxd::cli {

/// `path` with a leading "~" or "~/" replaced by the user's home folder.
std::filesystem::path expand_home(const std::filesystem::path& path);
/// The value of an environment variable; absent if unset or empty.
std::optional<std::string> environment(const char* name);

class StateFolder {
 public:
  /// `flag` (--home) if given, else MLXD_HOME, else ~/.mlxd. Touches no file.
  static StateFolder locate(const std::optional<std::string>& flag);
  explicit StateFolder(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path models() const { return root_ / "models"; }
  std::filesystem::path adapters() const { return root_ / "adapters"; }
  std::filesystem::path config_file() const { return root_ / "config.toml"; }
  std::filesystem::path history_file() const { return root_ / "history"; }

  /// Makes the folder if absent, readable by its owner only. Errors: kIo.
  Result<void> ensure() const;

  /// The model that was chatted with last, as the name to find it by again; absent if none is remembered.
  std::optional<std::string> last_model() const;
  /// Errors: kIo.
  Result<void> remember_model(const std::string& name) const;

 private:
  std::filesystem::path root_;
};

/// Where huggingface_hub keeps its downloads: HF_HUB_CACHE, else HF_HOME/hub, else
/// XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
std::filesystem::path hub_cache_folder();

}  // namespace mlxd::cli
