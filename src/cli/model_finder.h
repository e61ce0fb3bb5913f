// Models on this machine by name: folders given by path, HOME/models/NAME, the Hugging Face cache, and the
// folders that the settings add. Reads directories each time it is asked; keeps nothing open. A value.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mlxd::cli {

enum class ModelSource { kHome, kHubCache, kAdded, kPath };
std::string_view to_string(ModelSource source);  // "home", "hub", "added", "path"

struct FoundModel {
  std::string name;            // what it is called: "NAME", "org/name", or the path as given
  std::filesystem::path path;  // absolute; holds config.json
  ModelSource source = ModelSource::kPath;
};

class ModelFinder {
 public:
  ModelFinder(std::filesystem::path models_folder, std::filesystem::path hub_cache,
              std::vector<std::filesystem::path> added_folders = {})
      : models_folder_(std::move(models_folder)),
        hub_cache_(std::move(hub_cache)),
        added_folders_(std::move(added_folders)) {}

  /// All models in all places, by name; a name in several is listed several times, the one that is meant
  /// first. Unreadable places count as empty.
  std::vector<FoundModel> list() const;

  /// In this order: a path ("/…", "./…", "../…", "~…"), the exact name, a relative folder that holds a model,
  /// a unique suffix (first of whole "/"-separated parts, then any; letter case ignored). Errors: kNotFound
  /// with the three nearest names, kConflict with the candidates of an ambiguous suffix.
  Result<FoundModel> find(std::string_view name) const;

  const std::filesystem::path& models_folder() const { return models_folder_; }
  const std::filesystem::path& hub_cache() const { return hub_cache_; }
  const std::vector<std::filesystem::path>& added_folders() const { return added_folders_; }

 private:
  std::filesystem::path models_folder_;
  std::filesystem::path hub_cache_;
  std::vector<std::filesystem::path> added_folders_;
};

/// Whether a model is named by its folder: "/…", "./…", "../…", "~…".
bool is_explicit_path(std::string_view name);

/// Whether `folder` looks like a model: config.json beside at least one .safetensors file.
bool is_model_folder(const std::filesystem::path& folder);

}  // namespace mlxd::cli
