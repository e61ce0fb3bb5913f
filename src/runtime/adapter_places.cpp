#include "runtime/adapter_places.h"

#include <system_error>

#include "base/nearest_names.h"
#include "model/adapter.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostShown = 10;

void add_sub_folders(const fs::path& folder, std::map<std::string, fs::path>& found) {
  if (folder.empty()) return;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (is_adapter_folder(it->path())) found.try_emplace(it->path().filename().string(), it->path());
  }
}

}  // namespace

std::vector<AdapterPlaces::Found> AdapterPlaces::list(const fs::path& model_folder) const {
  std::map<std::string, fs::path> found = named;
  add_sub_folders(model_folder / "adapters", found);
  add_sub_folders(shared_folder, found);
  std::vector<Found> list;
  for (auto& [name, folder] : found) list.push_back({name, folder});
  return list;
}

Result<fs::path> AdapterPlaces::find(const fs::path& model_folder, std::string_view name) const {
  std::vector<std::string> known;
  for (Found& found : list(model_folder)) {
    if (found.name == name) return std::move(found.folder);
    known.push_back(std::move(found.name));
  }
  return unknown_adapter(name, model_folder.filename().string(), known);
}

Result<AdapterPlaces::Found> parse_named_adapter(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size()) {
    return invalid_argument("'" + std::string(text) + "' is not NAME=FOLDER, as in sql=./adapters/sql",
                            "adapter");
  }
  return AdapterPlaces::Found{std::string(text.substr(0, equals)), fs::path(text.substr(equals + 1))};
}

std::vector<std::pair<std::string, std::string>> split_adapter(std::string_view name) {
  std::vector<std::pair<std::string, std::string>> splits;
  for (std::size_t plus = name.rfind('+'); plus != std::string_view::npos && plus > 0;
       plus = name.rfind('+', plus - 1)) {
    splits.emplace_back(name.substr(0, plus), name.substr(plus + 1));
  }
  return splits;
}

Error unknown_adapter(std::string_view name, const std::string& model,
                      const std::vector<std::string>& known) {
  std::string message = "model '" + model + "' has no adapter '" + std::string(name.substr(0, 200)) + "'";
  const auto nearest = nearest_names(name, known, kMostShown);
  for (std::size_t i = 0; i < nearest.size(); ++i) message += (i == 0 ? ": there are " : ", ") + nearest[i];
  if (nearest.empty()) message += ": put its folder into the model's folder 'adapters'";
  return {ErrorKind::kNotFound, std::move(message), "adapter"};
}

}  // namespace mlxd
