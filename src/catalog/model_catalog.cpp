#include "catalog/model_catalog.h"

#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <exception>
#include <iterator>
#include <set>
#include <utility>

#include "base/log.h"
#include "catalog/json_reading.h"
#include "catalog/local_models.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxIndexBytes = std::size_t{64} << 20U;

// Times and sizes of a folder's files: while they are the same, so are the facts.
std::vector<std::int64_t> signature_of(const fs::path& folder) {
  std::vector<std::pair<std::string, std::int64_t>> parts;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    struct stat status {};
    if (::stat(it->path().c_str(), &status) != 0) continue;
    parts.emplace_back(it->path().filename().string(), status.st_mtime);
    parts.emplace_back(it->path().filename().string(), status.st_size);
  }
  std::sort(parts.begin(), parts.end());
  std::vector<std::int64_t> signature;
  for (const auto& [name, number] : parts) {
    signature.push_back(static_cast<std::int64_t>(std::hash<std::string>{}(name)));
    signature.push_back(number);
  }
  return signature;
}

bool is_same_folder(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return a == b || fs::equivalent(a, b, error);
}

// Of several models of one name the first is meant.
void note_hidden_names(std::vector<CatalogModel>& models) {
  const CatalogModel* meant = nullptr;
  for (CatalogModel& model : models) {
    if (meant == nullptr || meant->name != model.name)
      meant = &model;
    else if (model.problem.empty())
      model.problem = "its name means " + meant->folder.string() + ": rename one of the two folders";
  }
}

// What others can see of a look.
std::vector<std::string> summary_of(const std::vector<CatalogModel>& models) {
  std::vector<std::string> lines;
  for (const CatalogModel& model : models)
    lines.push_back(model.name + "|" + model.folder.string() + "|" + model.problem + "|" +
                    std::to_string(model.facts.size_bytes) + "|" +
                    std::to_string(model.repository.size_bytes) + "|" +
                    std::to_string(model.repository.revisions.size()));
  return lines;
}

}  // namespace

std::string_view to_string(CatalogSource source) {
  switch (source) {
    case CatalogSource::kFolder:
      return "folder";
    case CatalogSource::kAdded:
      return "added";
    case CatalogSource::kHub:
      return "hub";
    case CatalogSource::kPath:
      return "path";
  }
  return "folder";
}

std::string missing_weights(const fs::path& folder) {
  const auto text = read_text_file(folder / "model.safetensors.index.json", kMaxIndexBytes);
  std::error_code error;
  if (!text && is_whole_model_folder(folder)) return {};
  if (!text)
    return is_model_folder(folder) ? "some of its weight files are missing: download it again"
                                   : "it has no .safetensors files";
  const auto index = parse_json_object(*text, "model.safetensors.index.json");
  if (!index) return index.error().message;
  std::set<std::string> files;
  if (const json::object* map = object_at(*index, "weight_map")) {
    for (const auto& [key, value] : *map)
      if (value.is_string()) files.emplace(value.get_string());
  }
  const auto missing = std::count_if(
      files.begin(), files.end(), [&](const std::string& file) { return !fs::exists(folder / file, error); });
  if (missing == 0) return {};
  return std::to_string(missing) + " of its " + std::to_string(files.size()) +
         " weight files are missing: download it again";
}

ModelCatalog::ModelCatalog(Options options)
    : options_(std::move(options)),
      models_(std::make_shared<const std::vector<CatalogModel>>()),
      thread_([this] { work(); }) {}

ModelCatalog::~ModelCatalog() { stop(); }

void ModelCatalog::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

ModelCatalog::Models ModelCatalog::known_models() const {
  const MutexLock lock(mutex_);
  return models_;
}

ModelCatalog::Models ModelCatalog::models() const {
  const MutexLock lock(mutex_);
  while (made_ == 0 && !stopping_) wake_.wait(mutex_);
  return models_;
}

void ModelCatalog::request_scan() {
  const MutexLock lock(mutex_);
  ++wanted_;
  wake_.notify_all();
}

void ModelCatalog::request_scan_after(std::chrono::milliseconds age) {
  const MutexLock lock(mutex_);
  due_ = std::min(due_, begun_at_ + age);
  wake_.notify_all();
}

ModelCatalog::Models ModelCatalog::scan_now() {
  const MutexLock lock(mutex_);
  const std::uint64_t mine = ++wanted_;
  wake_.notify_all();
  while (made_ < mine && !stopping_) wake_.wait(mutex_);
  return models_;
}

void ModelCatalog::work() {
  std::vector<std::string> seen;
  for (;;) {
    std::uint64_t making = 0;
    {
      const MutexLock lock(mutex_);
      while (!stopping_ && made_ >= wanted_ && std::chrono::steady_clock::now() < due_)
        wake_.wait_until(mutex_, due_);
      if (stopping_) return;
      making = wanted_;
      begun_at_ = std::chrono::steady_clock::now();
      due_ = std::chrono::steady_clock::time_point::max();
    }
    std::vector<CatalogModel> found;
    try {
      found = scan();
    } catch (const std::exception& failure) {
      log::error("cannot look for models: {}", failure.what());
    }
    std::vector<std::string> summary = summary_of(found);
    const bool changed = summary != seen;
    seen = std::move(summary);
    {
      const MutexLock lock(mutex_);
      models_ = std::make_shared<const std::vector<CatalogModel>>(std::move(found));
      made_ = std::max(made_, making);
      due_ = std::min(due_, std::chrono::steady_clock::now() + options_.interval);
      wake_.notify_all();
    }
    if (changed && options_.on_change) options_.on_change();
  }
}

void ModelCatalog::read_facts(CatalogModel& model) {
  Signature signature = signature_of(model.folder);
  Known& known = known_[model.folder.string()];
  if (known.signature != signature || signature.empty()) {
    known = {};
    auto facts = read_model_facts(model.folder);
    if (facts)
      known.facts = facts.take_value();
    else
      known.problem = facts.error().message;
    if (known.problem.empty()) known.problem = missing_weights(model.folder);
    known.signature = std::move(signature);
  }
  model.facts = known.facts;
  model.problem = known.problem;
}

std::vector<CatalogModel> ModelCatalog::find_in_hub_cache() const {
  std::vector<CatalogModel> models;
  for (CachedRepository& repository : scan_hub_cache(options_.hub_cache)) {
    CatalogModel model{.name = repository.id, .source = CatalogSource::kHub, .folder = {}};
    const auto snapshot = model_snapshot(repository.folder);
    if (snapshot) model.folder = *snapshot;
    // Half of one is told of with what there is.
    for (const CachedRevision& revision : repository.revisions) {
      std::error_code error;
      if (model.folder.empty() && fs::exists(revision.folder / "config.json", error))
        model.folder = revision.folder;
    }
    if (model.folder.empty())
      model.problem = repository.revisions.empty() ? "it has no snapshot" : "it has no config.json";
    model.repository = std::move(repository);
    models.push_back(std::move(model));
  }
  return models;
}

std::vector<CatalogModel> ModelCatalog::scan() {
  std::vector<CatalogModel> models;
  for (const fs::path& place : options_.model_folders) {
    for (auto& [name, folder] : models_in_folder(place))
      models.push_back({.name = name, .source = CatalogSource::kFolder, .folder = folder});
  }
  if (!options_.hub_cache.empty()) {
    std::vector<CatalogModel> cached = find_in_hub_cache();
    std::move(cached.begin(), cached.end(), std::back_inserter(models));
  }
  const auto is_there = [&models](const fs::path& folder) {
    return std::any_of(models.begin(), models.end(),
                       [&](const CatalogModel& model) { return is_same_folder(model.folder, folder); });
  };
  if (options_.added_folders) {
    for (const fs::path& place : options_.added_folders()) {
      for (auto& [name, folder] : models_in_added_folder(place))
        if (!is_there(folder))
          models.push_back({.name = name, .source = CatalogSource::kAdded, .folder = folder});
    }
  }
  if (options_.given_models) {
    // Their names go before others'.
    std::vector<CatalogModel> given;
    for (auto& [name, folder] : options_.given_models()) {
      if (!is_there(folder))
        given.push_back({.name = name, .source = CatalogSource::kPath, .folder = folder});
    }
    models.insert(models.begin(), std::make_move_iterator(given.begin()),
                  std::make_move_iterator(given.end()));
  }
  std::set<std::string> folders;
  for (CatalogModel& model : models) {
    if (model.folder.empty()) continue;
    read_facts(model);
    folders.insert(model.folder.string());
  }
  std::erase_if(known_, [&](const auto& entry) { return !folders.contains(entry.first); });
  std::stable_sort(models.begin(), models.end(),
                   [](const CatalogModel& a, const CatalogModel& b) { return a.name < b.name; });
  note_hidden_names(models);
  return models;
}

}  // namespace mlxd
