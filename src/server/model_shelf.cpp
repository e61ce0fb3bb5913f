#include "server/model_shelf.h"

#include <algorithm>
#include <exception>
#include <future>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/nearest_names.h"
#include "catalog/local_models.h"
#include "server/pool_loader.h"
#include "server/pooled_model.h"

namespace mlxd {
namespace {

constexpr std::size_t kSuggestions = 3;

Error stopping() { return {ErrorKind::kUnavailable, "the server is stopping"}; }

bool is_path(std::string_view name) { return name.starts_with('/'); }

// With no link in it and no slash at its end, so that equal folders are equal texts.
std::filesystem::path plain_path(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path plain = std::filesystem::weakly_canonical(path, error);
  if (error) plain = path.lexically_normal();
  return plain.has_filename() ? plain : plain.parent_path();
}

}  // namespace

ModelShelf::ModelShelf(ModelPool::Options pool, std::filesystem::path models_folder,
                       std::filesystem::path hub_cache, AddedFolders added)
    : models_folder_(std::move(models_folder)),
      hub_cache_(std::move(hub_cache)),
      added_(std::move(added)),
      pool_(std::move(pool)),
      thread_([this] { load_adapters(); }) {}

ModelShelf::~ModelShelf() { stop(); }

Result<void> ModelShelf::put(ServedModelPtr model) {
  const std::string name = model->name;
  TRY(pool_.adopt(name, std::make_shared<ServedPooledModel>(std::move(model), nullptr)));
  const MutexLock lock(mutex_);
  given_[name].clear();
  return {};
}

Result<ModelSource> ModelShelf::add_folder(const std::filesystem::path& folder) {
  ModelSource source{served_name(folder), folder};
  {
    const MutexLock lock(mutex_);
    const auto [entry, is_new] = given_.emplace(source.name, folder);
    if (!is_new && entry->second != folder)
      return Error(ErrorKind::kConflict,
                   "two models are named '" + source.name + "': rename one of their folders", "model");
    if (!is_new) return source;
  }
  if (on_given_) on_given_();
  return source;
}

Result<void> ModelShelf::admit_path(const std::string& name, bool administers) {
  if (!is_path(name)) return {};
  if (!administers)
    return Error(ErrorKind::kForbidden,
                 "only an administrator names models by path: ask for a name that GET /v1/models lists, or "
                 "start the server with --model PATH",
                 "model");
  std::vector<std::string> paths{name};
  for (const auto& [path, adapter] : split_adapter(name)) paths.push_back(path);
  for (const std::string& path : paths) {
    if (resolve_path(path)) return {};
    if (!is_model_folder(path)) continue;
    const std::filesystem::path folder = plain_path(path);
    if (const auto other = resolve_own(served_name(folder)))
      return Error(ErrorKind::kConflict,
                   "the name '" + other->name + "' means " +
                       (other->folder.empty() ? "another model" : other->folder.string()) +
                       ": rename one of the two folders",
                   "model");
    TRY(add_folder(folder));
    return {};
  }
  return Error(ErrorKind::kNotFound,
               "there is no model at '" + name.substr(0, 500) +
                   "': a model's folder has config.json and .safetensors files",
               "model");
}

void ModelShelf::forget_places() {
  const MutexLock lock(mutex_);
  found_.clear();
}

std::map<std::string, std::filesystem::path> ModelShelf::given() const {
  const MutexLock lock(mutex_);
  std::map<std::string, std::filesystem::path> folders = given_;
  std::erase_if(folders, [](const auto& entry) { return entry.second.empty(); });
  return folders;
}

Result<void> ModelShelf::load_now(const std::filesystem::path& folder, bool protect) {
  const ModelSource source = TRY(add_folder(folder));
  TRY(pool_.preload(source, std::nullopt, protect));
  const auto loaded = std::make_shared<std::promise<Result<void>>>();
  std::future<Result<void>> outcome = loaded->get_future();
  pool_.acquire(source, {}, [loaded](const Result<PoolLease>& lease) {
    loaded->set_value(lease.ok() ? Result<void>() : lease.error());
  });
  return outcome.get();
}

std::optional<ModelSource> ModelShelf::resolve_path(const std::filesystem::path& path) const {
  const std::filesystem::path wanted = plain_path(path);
  for (const auto& folders : {given(), folders_on_disk()}) {
    for (const auto& [name, folder] : folders)
      if (folder == wanted || plain_path(folder) == wanted) return ModelSource{name, folder};
  }
  return std::nullopt;
}

std::optional<ModelSource> ModelShelf::resolve_own(const std::string& name) const {
  if (is_path(name)) return resolve_path(name);
  {
    const MutexLock lock(mutex_);
    if (const auto given = given_.find(name); given != given_.end()) return ModelSource{name, given->second};
    if (const auto found = found_.find(name); found != found_.end()) {
      std::error_code ignored;
      if (std::filesystem::exists(found->second / "config.json", ignored))
        return ModelSource{name, found->second};
      found_.erase(found);
    }
  }
  const auto folders = folders_on_disk();
  const auto on_disk = folders.find(name);
  if (on_disk == folders.end()) return std::nullopt;
  const MutexLock lock(mutex_);
  found_.insert_or_assign(name, on_disk->second);
  return ModelSource{name, on_disk->second};
}

std::optional<ModelSource> ModelShelf::resolve_ending(const std::string& name) const {
  const auto matches = matching_names(name, names());
  return matches.size() == 1 ? resolve_own(matches.front()) : std::nullopt;
}

std::optional<ModelSource> ModelShelf::resolve(const std::string& name) const {
  auto own = resolve_own(name);
  return own ? own : resolve_ending(name);
}

std::vector<std::string> ModelShelf::names() const {
  std::vector<std::string> names;
  for (const auto& [name, folder] : folders_on_disk()) names.push_back(name);
  const MutexLock lock(mutex_);
  for (const auto& [name, folder] : given_) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

ModelShelf::Name ModelShelf::part(const std::string& name) const {
  if (resolve_own(name)) return {name, {}};
  const auto splits = split_adapter(name);
  for (const auto& [model, adapter] : splits) {
    if (resolve_own(model)) return {model, adapter};
  }
  if (const auto source = resolve_ending(name)) return {source->name, {}};
  for (const auto& [model, adapter] : splits) {
    if (const auto source = resolve_ending(model)) return {source->name, adapter};
  }
  return {name, {}};
}

void ModelShelf::find(const std::string& name, const std::string& adapter,
                      const ModelPool::AcquireOptions& options, Found found) {
  Name asked = part(name);
  if (!adapter.empty() && !asked.adapter.empty() && adapter != asked.adapter) {
    found(invalid_argument("model names the adapter '" + asked.adapter.substr(0, 200) + "', adapter is '" +
                               adapter.substr(0, 200) + "': name one, or the same",
                           "adapter"));
    return;
  }
  if (!adapter.empty()) asked.adapter = adapter;
  const auto source = resolve(asked.model);
  if (!source) {
    found(unknown(asked.model));
    return;
  }
  const bool in_name = adapter.empty();
  pool_.acquire(*source, options,
                [this, wanted = asked.adapter, in_name, found = std::move(found)](Result<PoolLease> lease) {
                  if (!lease.ok()) {
                    found(lease.take_error());
                    return;
                  }
                  ServedModelPtr model = served(lease.take_value());
                  if (wanted.empty())
                    found(AskedModel{std::move(model), nullptr});
                  else
                    find_adapter(std::move(model), wanted, in_name, found);
                });
}

// `in_name`: the model's name asked for it.
void ModelShelf::find_adapter(ServedModelPtr model, const std::string& adapter, bool in_name, Found found) {
  if (model->adapters == nullptr) {
    Error error = unknown_adapter(adapter, model->name, {});
    if (in_name) error.field = "model";
    found(std::move(error));
    return;
  }
  if (AdapterLeasePtr lease = model->adapters->find_loaded(adapter)) {
    found(AskedModel{std::move(model), std::move(lease)});
    return;
  }
  if (const auto known = model->adapters->check_known(adapter); !known.ok()) {
    Error error = known.error();
    if (in_name) error.field = "model";
    found(std::move(error));
    return;
  }
  {
    const MutexLock lock(mutex_);
    if (!stopping_) {
      wanted_.push_back({std::move(model), adapter, std::move(found)});
      wake_.notify_one();
      return;
    }
  }
  found(stopping());
}

void ModelShelf::load_adapters() {
  for (;;) {
    Wanted wanted;
    {
      const MutexLock lock(mutex_);
      while (wanted_.empty() && !stopping_) wake_.wait(mutex_);
      if (stopping_) return;
      wanted = std::move(wanted_.front());
      wanted_.pop_front();
    }
    try {
      Result<AdapterLeasePtr> lease = wanted.model->adapters->acquire(wanted.adapter);
      if (lease.ok()) {
        wanted.found(AskedModel{std::move(wanted.model), lease.take_value()});
      } else {
        log::error("cannot load adapter {} of {}: {}", wanted.adapter, wanted.model->name,
                   lease.error().message);
        wanted.found(lease.take_error());
      }
    } catch (const std::exception& failure) {
      // Memory running out, most likely; whoever waits is answered when its exchange is let go.
      log::error("a request for adapter {} failed: {}", wanted.adapter, failure.what());
    }
  }
}

std::vector<std::string> ModelShelf::adapters_of(const Entry& entry) {
  if (entry.model != nullptr)
    return entry.model->adapters == nullptr ? std::vector<std::string>() : entry.model->adapters->list();
  std::vector<std::string> names;
  for (AdapterPlaces::Found& found : AdapterPlaces{}.list(entry.folder))
    names.push_back(std::move(found.name));
  return names;
}

void ModelShelf::stop() {
  pool_.stop();
  std::deque<Wanted> dropped;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    std::swap(dropped, wanted_);
    wake_.notify_all();
  }
  for (Wanted& wanted : dropped) wanted.found(stopping());
  if (thread_.joinable()) thread_.join();
}

void ModelShelf::clear() { pool_.clear(); }

std::map<std::string, std::filesystem::path> ModelShelf::folders_on_disk() const {
  std::map<std::string, std::filesystem::path> folders = models_in_hub_cache(hub_cache_);
  if (added_) {
    for (const std::filesystem::path& place : added_()) folders.merge(models_in_added_folder(place));
  }
  if (models_folder_.empty()) return folders;
  std::error_code code;
  for (auto entry = std::filesystem::directory_iterator(models_folder_, code);
       !code && entry != std::filesystem::directory_iterator(); entry.increment(code)) {
    std::error_code ignored;
    // Hidden folders are being made, or were left by a kill.
    if (entry->path().filename().string().front() == '.') continue;
    if (std::filesystem::exists(entry->path() / "config.json", ignored))
      folders.insert_or_assign(entry->path().filename().string(), entry->path());
  }
  return folders;
}

std::vector<ModelShelf::Entry> ModelShelf::list() const {
  std::map<std::string, Entry> entries;
  for (auto& [name, folder] : folders_on_disk()) entries[name] = {name, nullptr, folder};
  {
    const MutexLock lock(mutex_);
    for (const auto& [name, folder] : given_) entries[name] = {name, nullptr, folder};
  }
  for (auto& [name, lease] : pool_.loaded()) entries[name].model = served(std::move(lease));
  std::vector<Entry> list;
  for (auto& [name, entry] : entries) {
    entry.name = name;
    list.push_back(std::move(entry));
  }
  return list;
}

std::vector<ServedModelPtr> ModelShelf::loaded() const {
  std::vector<ServedModelPtr> models;
  for (auto& [name, lease] : pool_.loaded()) models.push_back(served(std::move(lease)));
  return models;
}

Error ModelShelf::unknown(const std::string& name) const {
  const std::vector<std::string> known = names();
  const auto matches = matching_names(name, known);
  if (matches.size() > 1) {
    std::string message = "'" + name.substr(0, 200) + "' could be any of ";
    for (const std::string& each : matches) message += (message.ends_with(" of ") ? "" : ", ") + each;
    return {ErrorKind::kNotFound, message + ": write more of the name", "model"};
  }
  std::string message = "there is no model '" + name.substr(0, 200) + "'";
  const auto nearest = nearest_names(name, known, kSuggestions);
  for (std::size_t i = 0; i < nearest.size(); ++i)
    message += (i == 0 ? ": the nearest are " : ", ") + nearest[i];
  if (nearest.empty())
    message += ": get one with 'mlxd pull ORG/NAME', or start the server with --model FOLDER";
  return {ErrorKind::kNotFound, std::move(message), "model"};
}

}  // namespace mlxd
