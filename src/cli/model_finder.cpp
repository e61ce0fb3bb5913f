#include "cli/model_finder.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include "base/nearest_names.h"
#include "cli/format.h"
#include "cli/state_folder.h"

namespace mlxd::cli {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> subfolders(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    // Hidden folders are being made, or were left by a kill.
    if (it->path().filename().string().front() == '.') continue;
    if (it->is_directory(ignored)) paths.push_back(it->path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// "models--org--name" → "org/name"; absent for other folders of the cache.
std::optional<std::string> repository_of(const std::string& folder_name) {
  constexpr std::string_view kPrefix = "models--";
  if (!folder_name.starts_with(kPrefix)) return std::nullopt;
  std::string id = folder_name.substr(kPrefix.size());
  if (const std::size_t separator = id.find("--"); separator != std::string::npos)
    id.replace(separator, 2, "/");
  return id;
}

// The snapshot that refs/main names if it is complete enough, else the newest that is.
std::optional<fs::path> snapshot_of(const fs::path& repository) {
  std::ifstream ref(repository / "refs" / "main");
  std::string revision;
  if (std::getline(ref, revision)) {
    const std::string plain(trim(revision));
    const fs::path main = repository / "snapshots" / plain;
    if (!plain.empty() && plain.find('/') == std::string::npos && is_model_folder(main)) return main;
  }
  std::optional<fs::path> newest;
  fs::file_time_type newest_time = fs::file_time_type::min();
  for (const fs::path& snapshot : subfolders(repository / "snapshots")) {
    std::error_code error;
    const auto time = fs::last_write_time(snapshot, error);
    if (error || !is_model_folder(snapshot) || (newest && time <= newest_time)) continue;
    newest = snapshot;
    newest_time = time;
  }
  return newest;
}

bool is_explicit_path(std::string_view name) {
  return name.starts_with('/') || name.starts_with('~') || name == "." || name == ".." ||
         name.starts_with("./") || name.starts_with("../");
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

Result<FoundModel> model_at(const fs::path& path, std::string_view name) {
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(path, error);
  if (!fs::is_directory(folder, error)) {
    const bool is_file = fs::exists(folder, error);
    const bool is_gguf = to_lower(folder.extension().string()) == ".gguf";
    if (is_file && is_gguf)
      return unsupported(folder.string() + " is a GGUF file: make a model folder of it with 'mlxd import'");
    return not_found("there is no folder " + folder.string());
  }
  if (!is_model_folder(folder))
    return not_found(folder.string() + " is no model folder: it needs config.json and .safetensors files");
  return FoundModel{std::string(name), folder, ModelSource::kPath};
}

}  // namespace

std::string_view to_string(ModelSource source) {
  switch (source) {
    case ModelSource::kHome:
      return "home";
    case ModelSource::kHubCache:
      return "hub";
    case ModelSource::kPath:
      return "path";
  }
  return "path";
}

bool is_model_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(folder / "config.json", error)) return false;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".safetensors") return true;
  return false;
}

std::vector<FoundModel> ModelFinder::list() const {
  std::vector<FoundModel> models;
  for (const fs::path& folder : subfolders(models_folder_))
    if (is_model_folder(folder)) models.push_back({folder.filename().string(), folder, ModelSource::kHome});
  for (const fs::path& folder : subfolders(hub_cache_)) {
    const auto repository = repository_of(folder.filename().string());
    if (!repository) continue;
    if (const auto snapshot = snapshot_of(folder))
      models.push_back({*repository, *snapshot, ModelSource::kHubCache});
  }
  std::stable_sort(models.begin(), models.end(),
                   [](const FoundModel& a, const FoundModel& b) { return a.name < b.name; });
  return models;
}

Result<FoundModel> ModelFinder::find(std::string_view name) const {
  if (trim(name).empty()) return invalid_argument("the model's name is empty", "model");
  if (is_explicit_path(name)) return model_at(expand_home(fs::path(name)), name);

  const std::vector<FoundModel> models = list();
  for (const FoundModel& model : models)
    if (model.name == name) return model;
  if (is_model_folder(fs::path(name))) return model_at(fs::path(name), name);

  const std::string wanted = to_lower(name);
  for (const std::string& suffix : {"/" + wanted, wanted}) {
    std::vector<const FoundModel*> matches;
    for (const FoundModel& model : models)
      if (("/" + to_lower(model.name)).ends_with(suffix)) matches.push_back(&model);
    if (matches.size() == 1) return *matches.front();
    if (matches.size() > 1) {
      std::vector<std::string> names;
      for (const FoundModel* match : matches) names.push_back(match->name);
      return Error(
          ErrorKind::kConflict,
          "'" + std::string(name) + "' could be any of " + quoted_list(names) + ": write more of the name",
          "model");
    }
  }

  std::vector<std::string> names;
  for (const FoundModel& model : models) names.push_back(model.name);
  const auto nearest = nearest_names(name, names, 3);
  std::string message = "no model '" + std::string(name) + "'";
  if (!nearest.empty())
    message += "; nearest: " + quoted_list(nearest);
  else
    message += ": there are no models in " + models_folder_.string() + " nor in " + hub_cache_.string() +
               "; import one with 'mlxd import FILE.gguf'";
  return Error(ErrorKind::kNotFound, message, "model");
}

}  // namespace mlxd::cli
