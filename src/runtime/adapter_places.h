// Where adapters of a model lie, by name. Reads folders each time it is asked. A value.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mlxd {

struct AdapterPlaces {
  /// Given by the user, by name; before all others.
  std::map<std::string, std::filesystem::path> named;
  /// Its sub-folders are adapters of any model that they fit, after those in MODEL_FOLDER/adapters; empty:
  /// none.
  std::filesystem::path shared_folder;

  struct Found {
    std::string name;
    std::filesystem::path folder;
  };
  /// All, by name, each name once.
  std::vector<Found> list(const std::filesystem::path& model_folder) const;
  /// Errors: kNotFound with the names there are.
  Result<std::filesystem::path> find(const std::filesystem::path& model_folder, std::string_view name) const;
};

/// "NAME=FOLDER" of a setting. Errors: kInvalidArgument.
Result<AdapterPlaces::Found> parse_named_adapter(std::string_view text);

/// The ways to read "MODEL+ADAPTER", the longest model first: names of models may have a "+" in them.
std::vector<std::pair<std::string, std::string>> split_adapter(std::string_view name);

/// There is no adapter `name` for a model; says which of `known` there are.
Error unknown_adapter(std::string_view name, const std::string& model, const std::vector<std::string>& known);

}  // namespace mlxd
