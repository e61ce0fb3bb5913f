#include "cli/model_finder.h"

#include <algorithm>
#include <utility>

#include "base/nearest_names.h"
#include "catalog/local_models.h"
#include "cli/format.h"
#include "cli/state_folder.h"

namespace mlxd::cli {
namespace {

namespace fs = std::filesystem;

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
    case ModelSource::kAdded:
      return "added";
    case ModelSource::kPath:
      return "path";
  }
  return "path";
}

bool is_explicit_path(std::string_view name) {
  return name.starts_with('/') || name.starts_with('~') || name == "." || name == ".." ||
         name.starts_with("./") || name.starts_with("../");
}

bool is_model_folder(const fs::path& folder) { return mlxd::is_model_folder(folder); }

std::vector<FoundModel> ModelFinder::list() const {
  std::vector<FoundModel> models;
  for (auto& [name, folder] : models_in_folder(models_folder_))
    models.push_back({name, folder, ModelSource::kHome});
  for (auto& [name, folder] : models_in_hub_cache(hub_cache_))
    models.push_back({name, folder, ModelSource::kHubCache});
  for (const fs::path& place : added_folders_) {
    for (auto& [name, folder] : models_in_added_folder(place)) {
      std::error_code error;
      const bool is_there = std::any_of(models.begin(), models.end(), [&](const FoundModel& model) {
        return fs::equivalent(model.path, folder, error);
      });
      if (!is_there) models.push_back({name, folder, ModelSource::kAdded});
    }
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

  std::vector<std::string> names;
  for (const FoundModel& model : models) names.push_back(model.name);
  const std::vector<std::string> matches = matching_names(std::string(name), names);
  if (matches.size() == 1) {
    for (const FoundModel& model : models)
      if (model.name == matches.front()) return model;
  }
  if (matches.size() > 1)
    return Error(
        ErrorKind::kConflict,
        "'" + std::string(name) + "' could be any of " + quoted_list(matches) + ": write more of the name",
        "model");

  const auto nearest = nearest_names(name, names, 3);
  std::string message = "no model '" + std::string(name) + "'";
  if (!nearest.empty())
    message += "; nearest: " + quoted_list(nearest);
  else
    message += ": there are no models in " + models_folder_.string() + " nor in " + hub_cache_.string() +
               (added_folders_.empty() ? "" : " nor in the folders that were added") +
               "; get one with 'mlxd pull ORG/NAME' or 'mlxd import FILE.gguf'";
  return Error(ErrorKind::kNotFound, message, "model");
}

}  // namespace mlxd::cli
