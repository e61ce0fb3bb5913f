#include "server/model_shelf.h"

#include <algorithm>
#include <exception>
#include <new>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/nearest_names.h"

namespace mlxd {
namespace {

constexpr std::size_t kSuggestions = 3;

Error stopping() { return {ErrorKind::kUnavailable, "the server is stopping"}; }

}  // namespace

ModelShelf::ModelShelf(Load load, std::filesystem::path models_folder)
    : load_(std::move(load)), models_folder_(std::move(models_folder)), thread_([this] { work(); }) {}

ModelShelf::~ModelShelf() { stop(); }

Result<void> ModelShelf::put(ServedModelPtr model) {
  const MutexLock lock(mutex_);
  const std::string name = model->name;
  if (!models_.emplace(name, std::move(model)).second)
    return Error(ErrorKind::kConflict, "two models are named '" + name + "': rename one of their folders",
                 "model");
  return {};
}

Result<void> ModelShelf::load_now(const std::filesystem::path& folder) { return put(TRY(load_(folder))); }

bool ModelShelf::is_known(const std::string& name) const {
  {
    const MutexLock lock(mutex_);
    if (models_.contains(name)) return true;
  }
  return folders_on_disk().contains(name);
}

ModelShelf::Name ModelShelf::part(const std::string& name) const {
  const auto splits = split_adapter(name);
  if (splits.empty() || is_known(name)) return {name, {}};
  for (const auto& [model, adapter] : splits) {
    if (is_known(model)) return {model, adapter};
  }
  return {name, {}};
}

void ModelShelf::find(const std::string& name, const std::string& adapter, Found found) {
  Name asked = part(name);
  if (!adapter.empty() && !asked.adapter.empty() && adapter != asked.adapter) {
    found(invalid_argument("model names the adapter '" + asked.adapter.substr(0, 200) + "', adapter is '" +
                               adapter.substr(0, 200) + "': name one, or the same",
                           "adapter"));
    return;
  }
  if (!adapter.empty()) asked.adapter = adapter;
  ServedModelPtr model;
  {
    const MutexLock lock(mutex_);
    if (const auto loaded = models_.find(asked.model); loaded != models_.end()) model = loaded->second;
  }
  AdapterLeasePtr lease;
  if (model != nullptr && !asked.adapter.empty() && model->adapters != nullptr)
    lease = model->adapters->find_loaded(asked.adapter);
  if (model != nullptr && (asked.adapter.empty() || lease != nullptr)) {
    found(AskedModel{std::move(model), std::move(lease)});
    return;
  }
  if (model != nullptr && model->adapters != nullptr) {
    if (const auto known = model->adapters->check_known(asked.adapter); !known.ok()) {
      Error error = known.error();
      if (adapter.empty()) error.field = "model";  // which has it in its name
      found(std::move(error));
      return;
    }
  }
  std::filesystem::path folder;
  if (model == nullptr) {
    const auto folders = folders_on_disk();
    const auto on_disk = folders.find(asked.model);
    if (on_disk == folders.end()) {
      found(unknown(asked.model));
      return;
    }
    folder = on_disk->second;
  }
  {
    const MutexLock lock(mutex_);
    if (!stopping_) {
      // Loaded since it was looked for above: the loading thread will see that.
      auto same = std::find_if(wanted_.begin(), wanted_.end(),
                               [&](const Wanted& entry) { return entry.name == asked; });
      if (same == wanted_.end()) same = wanted_.insert(wanted_.end(), {asked, std::move(folder), {}});
      same->waiters.push_back(std::move(found));
      wake_.notify_one();
      return;
    }
  }
  found(stopping());
}

void ModelShelf::work() {
  for (;;) {
    Name name;
    std::filesystem::path folder;
    ServedModelPtr model;
    {
      const MutexLock lock(mutex_);
      while (wanted_.empty() && !stopping_) wake_.wait(mutex_);
      if (stopping_) return;
      name = wanted_.front().name;
      folder = wanted_.front().folder;
      if (const auto loaded = models_.find(name.model); loaded != models_.end()) model = loaded->second;
    }
    Result<AskedModel> result = load_asked(name, std::move(model), folder);
    std::vector<Found> waiters;
    {
      const MutexLock lock(mutex_);
      if (wanted_.empty()) return;  // stopped meanwhile, and the waiters told
      waiters = std::move(wanted_.front().waiters);
      wanted_.pop_front();
    }
    for (Found& waiter : waiters) {
      try {
        waiter(result);
      } catch (const std::exception& failure) {
        // Memory running out, most likely; whoever waits is answered when its exchange is let go.
        log::error("a request for model {} failed: {}", name.model, failure.what());
      }
    }
  }
}

Result<AskedModel> ModelShelf::load_asked(const Name& name, ServedModelPtr model,
                                          const std::filesystem::path& folder) {
  if (model == nullptr) {
    Result<ServedModelPtr> loaded = try_load(folder);
    if (!loaded.ok()) {
      log::error("cannot load model {}: {}", name.model, loaded.error().message);
      return loaded.take_error();
    }
    model = loaded.take_value();
    const MutexLock lock(mutex_);
    models_.emplace(name.model, model);
  }
  if (name.adapter.empty()) return AskedModel{std::move(model), nullptr};
  if (model->adapters == nullptr) return unknown_adapter(name.adapter, name.model, {});
  Result<AdapterLeasePtr> lease = model->adapters->acquire(name.adapter);
  if (lease.ok()) return AskedModel{std::move(model), lease.take_value()};
  log::error("cannot load adapter {} of {}: {}", name.adapter, name.model, lease.error().message);
  return lease.take_error();
}

std::vector<std::string> ModelShelf::adapters_of(const Entry& entry) {
  if (entry.model != nullptr)
    return entry.model->adapters == nullptr ? std::vector<std::string>() : entry.model->adapters->list();
  std::vector<std::string> names;
  for (AdapterPlaces::Found& found : AdapterPlaces{}.list(entry.folder))
    names.push_back(std::move(found.name));
  return names;
}

Result<ServedModelPtr> ModelShelf::try_load(const std::filesystem::path& folder) const {
  try {
    return load_(folder);
  } catch (const std::bad_alloc&) {
    return Error(ErrorKind::kOutOfMemory, "the system has too little memory to load " + folder.string());
  } catch (const std::exception& failure) {
    return Error(ErrorKind::kInternal, "loading " + folder.string() + " failed: " + failure.what());
  }
}

void ModelShelf::stop() {
  std::deque<Wanted> dropped;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    std::swap(dropped, wanted_);
    wake_.notify_all();
  }
  for (Wanted& entry : dropped) {
    for (Found& waiter : entry.waiters) waiter(stopping());
  }
  if (thread_.joinable()) thread_.join();
}

void ModelShelf::clear() {
  std::map<std::string, ServedModelPtr, std::less<>> dropped;
  const MutexLock lock(mutex_);
  std::swap(dropped, models_);
}

std::map<std::string, std::filesystem::path> ModelShelf::folders_on_disk() const {
  std::map<std::string, std::filesystem::path> folders;
  if (models_folder_.empty()) return folders;
  std::error_code code;
  for (auto entry = std::filesystem::directory_iterator(models_folder_, code);
       !code && entry != std::filesystem::directory_iterator(); entry.increment(code)) {
    std::error_code ignored;
    // Hidden folders are being made, or were left by a kill.
    if (entry->path().filename().string().front() == '.') continue;
    if (std::filesystem::exists(entry->path() / "config.json", ignored))
      folders.emplace(entry->path().filename().string(), entry->path());
  }
  return folders;
}

std::vector<ModelShelf::Entry> ModelShelf::list() const {
  std::map<std::string, Entry> entries;
  for (auto& [name, folder] : folders_on_disk()) entries[name] = {name, nullptr, folder};
  const MutexLock lock(mutex_);
  for (const auto& [name, model] : models_) {
    entries[name].name = name;
    entries[name].model = model;
  }
  std::vector<Entry> list;
  for (auto& [name, entry] : entries) list.push_back(std::move(entry));
  return list;
}

std::vector<ServedModelPtr> ModelShelf::loaded() const {
  const MutexLock lock(mutex_);
  std::vector<ServedModelPtr> models;
  for (const auto& [name, model] : models_) models.push_back(model);
  return models;
}

Error ModelShelf::unknown(const std::string& name) const {
  std::vector<std::string> known;
  for (const Entry& entry : list()) known.push_back(entry.name);
  std::string message = "there is no model '" + name.substr(0, 200) + "'";
  const auto nearest = nearest_names(name, known, kSuggestions);
  for (std::size_t i = 0; i < nearest.size(); ++i)
    message += (i == 0 ? ": the nearest are " : ", ") + nearest[i];
  if (nearest.empty()) message += ": start the server with --model FOLDER or import one";
  return {ErrorKind::kNotFound, std::move(message), "model"};
}

}  // namespace mlxd
