// The models on this machine by name: sub-folders of a models folder, and repositories of the hub's cache.
// Reads folders each time it is asked, no file of a model; keeps nothing open. Functions.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlxd {

/// Whether `folder` looks like a model: config.json beside at least one .safetensors file.
bool is_model_folder(const std::filesystem::path& folder);

/// Whether it is one and, of weights in numbered files (model-00001-of-00005.safetensors), all are there: a
/// download that has not ended is no model yet.
bool is_whole_model_folder(const std::filesystem::path& folder);

/// The snapshot of a cached repository that refs/main names if it is a whole model, else the newest that is
/// one.
std::optional<std::filesystem::path> model_snapshot(const std::filesystem::path& repository_folder);

/// Models by name: "NAME" of a folder, "org/name" of a repository. Unreadable places count as empty.
std::map<std::string, std::filesystem::path> models_in_folder(const std::filesystem::path& models_folder);
std::map<std::string, std::filesystem::path> models_in_hub_cache(const std::filesystem::path& cache);
/// Of a folder that another program may have made: sub-folders as in a models folder, "org/name" two levels
/// deep, and repositories as in the hub's cache.
std::map<std::string, std::filesystem::path> models_in_added_folder(const std::filesystem::path& folder);

/// Which of `names` is meant by `asked`: itself; NAME:TAG as Ollama writes it (a name that ends in NAME with
/// all parts of TAG, or, of ":latest", NAME itself); one that ends in it, first by whole parts between "/",
/// then by any letters. Letter case ignored but for the first. Several: all that could be meant; none: empty.
std::vector<std::string> matching_names(const std::string& asked, const std::vector<std::string>& names);

}  // namespace mlxd
