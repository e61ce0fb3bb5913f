#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <optional>
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
  const auto facts = read_model_facts(folder);
  return remove_model_folder(folder, facts ? facts->size_bytes : 0);
}

// The folder of a model of that whole name that lies in an added folder; nothing if there is none.
std::optional<fs::path> find_added(const ModelFinder& finder, const std::string& name) {
  for (const FoundModel& model : finder.list())
    if (model.source == ModelSource::kAdded && model.name == name) return model.path;
  return std::nullopt;
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
  const ModelFinder finder = TRY(make_finder(context.state));
  const fs::path folder = finder.models_folder() / name;
  std::error_code error;
  Removed removed;
  const bool plain = is_safe_file_path(name) && name.find('/') == std::string::npos;
  if (plain && revision.empty() && fs::exists(folder / "config.json", error)) {
    removed = TRY(remove_folder(folder));
  } else if (check_repository_id(name) && fs::exists(RepositoryPaths(finder.hub_cache(), name).root, error)) {
    removed = TRY(remove_from_hub_cache(finder.hub_cache(), name, revision));
  } else if (const auto added = revision.empty() ? find_added(finder, name) : std::nullopt) {
    if (!options.added)
      return Error(ErrorKind::kConflict,
                   name + " lies in a folder that was added, " + added->string() +
                       ": nothing is removed there without --added",
                   "model");
    removed = TRY(remove_folder(*added));
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
