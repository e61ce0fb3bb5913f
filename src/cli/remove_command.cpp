#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/nearest_names.h"
#include "catalog/hub_cache.h"
#include "catalog/hub_names.h"
#include "catalog/model_facts.h"
#include "cli/format.h"
#include "cli/hub_commands.h"
#include "cli/json_text.h"
#include "cli/model_loader.h"

namespace mlxd::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

Result<Removed> remove_folder(const fs::path& folder) {
  std::error_code error;
  Removed removed;
  // Of a link the link alone goes.
  if (!fs::is_symlink(folder, error)) {
    if (const auto facts = read_model_facts(folder); facts) removed.freed_bytes = facts->size_bytes;
  }
  fs::remove_all(folder, error);
  if (error) return io_error("cannot remove " + folder.string(), error.value());
  return removed;
}

Result<Removed> remove_from_hub_cache(const fs::path& cache, const std::string& name,
                                      const std::string& revision) {
  if (revision.empty()) return remove_repository(cache, name);
  TRY(check_revision(revision));
  const std::string commit = read_ref(RepositoryPaths(cache, name), revision);
  return remove_revision(cache, name, commit.empty() ? revision : commit);
}

}  // namespace

// Whole names only: what is removed is not to be guessed.
Result<int> remove_command(const CommandContext& context, const RemoveOptions& options) {
  const std::size_t at = options.model.find('@');
  const std::string name = options.model.substr(0, at);
  const std::string revision = at == std::string::npos ? "" : options.model.substr(at + 1);
  const ModelFinder finder = make_finder(context.state);
  const fs::path folder = finder.models_folder() / name;
  std::error_code error;
  Removed removed;
  const bool plain = is_safe_file_path(name) && name.find('/') == std::string::npos;
  if (plain && revision.empty() && fs::exists(folder / "config.json", error)) {
    removed = TRY(remove_folder(folder));
  } else if (check_repository_id(name) && fs::exists(RepositoryPaths(finder.hub_cache(), name).root, error)) {
    removed = TRY(remove_from_hub_cache(finder.hub_cache(), name, revision));
  } else {
    std::vector<std::string> names;
    for (const FoundModel& model : finder.list()) names.push_back(model.name);
    std::string message = "there is no model '" + name + "'";
    for (const std::string& each : nearest_names(name, names, 3))
      message += (message.ends_with("'") ? "; nearest: " : ", ") + each;
    return not_found(message);
  }
  if (options.json) {
    json::array commits;
    for (const std::string& commit : removed.commits) commits.emplace_back(commit);
    context.console.write(pretty_json(json::object{
        {"model", name}, {"freed_bytes", removed.freed_bytes}, {"commits", std::move(commits)}}));
  } else {
    context.console.write_line("removed " + options.model + ": " + format_bytes(removed.freed_bytes) +
                               " freed");
  }
  return kExitOk;
}

}  // namespace mlxd::cli
