#include "catalog/local_models.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/ascii.h"
#include "catalog/hub_cache.h"
#include "catalog/hub_names.h"

namespace mlxd {
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

// "instruct-4bit" → "instruct", "4bit".
std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = text.find_first_of("-_.");
    if (end != 0) parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

// "model-00001-of-00005.safetensors" → "model-of-00005"; of other names nothing.
std::string numbered_set(const std::string& name) {
  constexpr std::string_view kSuffix = ".safetensors";
  constexpr std::size_t kDigits = 5;
  constexpr std::string_view kOf = "-of-";
  if (!name.ends_with(kSuffix)) return {};
  const std::string stem = name.substr(0, name.size() - kSuffix.size());
  const auto is_number = [&stem](std::size_t begin) {
    return std::all_of(stem.begin() + static_cast<std::ptrdiff_t>(begin),
                       stem.begin() + static_cast<std::ptrdiff_t>(begin + kDigits),
                       [](char c) { return c >= '0' && c <= '9'; });
  };
  const std::size_t tail = kDigits + kOf.size() + kDigits;
  if (stem.size() < tail + 1) return {};
  const std::size_t first = stem.size() - tail;
  if (stem.compare(first + kDigits, kOf.size(), kOf) != 0 || !is_number(first) ||
      !is_number(stem.size() - kDigits))
    return {};
  return stem.substr(0, first - 1) + "-of-" + stem.substr(stem.size() - kDigits);
}

// "q4" and "4-bit" are what people write for "4bit".
std::string plain_part(const std::string& part) {
  if (part.size() == 2 && part[0] == 'q' && part[1] >= '1' && part[1] <= '8') return part.substr(1) + "bit";
  return part;
}

bool has_tag(const std::string& name, const std::string& base, const std::string& tag) {
  const std::string last = name.substr(name.rfind('/') + 1);
  const bool organised = base.find('/') != std::string::npos;
  const std::string& whole = organised ? name : last;
  if (!whole.starts_with(base)) return false;
  const std::vector<std::string> parts = parts_of(std::string_view(whole).substr(base.size()));
  const std::vector<std::string> wanted = parts_of(tag);
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& each) {
    return std::find(parts.begin(), parts.end(), plain_part(each)) != parts.end();
  });
}

std::vector<std::string> with_tag(const std::string& asked, const std::vector<std::string>& names) {
  const std::size_t colon = asked.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == asked.size()) return {};
  const std::string base = asked.substr(0, colon);
  const std::string tag = asked.substr(colon + 1);
  if (tag == "latest") return matching_names(base, names);
  std::vector<std::string> matches;
  for (const std::string& name : names)
    if (has_tag(to_lower(name), base, tag)) matches.push_back(name);
  return matches;
}

}  // namespace

bool is_model_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(folder / "config.json", error)) return false;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".safetensors") return true;
  return false;
}

bool is_whole_model_folder(const fs::path& folder) {
  if (!is_model_folder(folder)) return false;
  std::map<std::string, std::size_t> there;  // files of each set, by what their names have in common
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (const std::string set = numbered_set(name); !set.empty()) ++there[set];
  }
  return std::all_of(there.begin(), there.end(), [](const auto& set) {
    return set.second >= static_cast<std::size_t>(std::atoi(set.first.c_str() + set.first.rfind('-') + 1));
  });
}

std::optional<fs::path> model_snapshot(const fs::path& repository_folder) {
  const fs::path snapshots = repository_folder / "snapshots";
  const RepositoryPaths paths(repository_folder.parent_path(),
                              repository_of_folder(repository_folder.filename().string()));
  const std::string commit = read_ref(paths, "main");
  const bool plain =
      !commit.empty() && commit != "." && commit != ".." && commit.find('/') == std::string::npos;
  if (plain && is_whole_model_folder(snapshots / commit)) return snapshots / commit;
  std::optional<fs::path> newest;
  fs::file_time_type newest_time = fs::file_time_type::min();
  for (const fs::path& snapshot : subfolders(snapshots)) {
    std::error_code error;
    const auto time = fs::last_write_time(snapshot, error);
    if (error || !is_whole_model_folder(snapshot) || (newest && time <= newest_time)) continue;
    newest = snapshot;
    newest_time = time;
  }
  return newest;
}

std::map<std::string, fs::path> models_in_folder(const fs::path& models_folder) {
  std::map<std::string, fs::path> models;
  if (models_folder.empty()) return models;
  for (const fs::path& folder : subfolders(models_folder))
    if (is_model_folder(folder)) models.emplace(folder.filename().string(), folder);
  return models;
}

std::map<std::string, fs::path> models_in_hub_cache(const fs::path& cache) {
  std::map<std::string, fs::path> models;
  if (cache.empty()) return models;
  for (const fs::path& folder : subfolders(cache)) {
    const std::string repository = repository_of_folder(folder.filename().string());
    if (repository.empty()) continue;
    if (auto snapshot = model_snapshot(folder)) models.emplace(repository, std::move(*snapshot));
  }
  return models;
}

std::map<std::string, fs::path> models_in_added_folder(const fs::path& folder) {
  std::map<std::string, fs::path> models = models_in_hub_cache(folder);
  for (const fs::path& outer : subfolders(folder)) {
    const std::string name = outer.filename().string();
    if (is_model_folder(outer)) {
      models.emplace(name, outer);
    } else if (repository_of_folder(name).empty()) {
      for (auto& [inner, path] : models_in_folder(outer)) models.emplace(name + "/" + inner, std::move(path));
    }
  }
  return models;
}

std::vector<std::string> matching_names(const std::string& asked, const std::vector<std::string>& names) {
  if (asked.empty()) return {};
  if (std::find(names.begin(), names.end(), asked) != names.end()) return {asked};
  const std::string wanted = to_lower(asked);
  if (const auto tagged = with_tag(wanted, names); !tagged.empty()) return tagged;
  for (const std::string& suffix : {"/" + wanted, wanted}) {
    std::vector<std::string> matches;
    for (const std::string& name : names)
      if (("/" + to_lower(name)).ends_with(suffix)) matches.push_back(name);
    if (!matches.empty()) return matches;
  }
  return {};
}

}  // namespace mlxd
