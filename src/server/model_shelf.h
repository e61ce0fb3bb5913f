// The models that can be asked for by name: those loaded, and folders loaded at their first use; and their
// adapters, as MODEL+ADAPTER. What is asked for twice is loaded once; a failed load answers all who waited.
// Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "server/served_model.h"

namespace mlxd {

class ModelShelf {
 public:
  using Load = std::function<Result<ServedModelPtr>(const std::filesystem::path& folder)>;
  using Found = std::function<void(Result<AskedModel>)>;

  /// `load` runs on the shelf's own thread or on `load_now`'s caller. `models_folder`: its sub-folders with a
  /// config.json can be asked for; `hub_cache`: so can its repositories; empty: none.
  ModelShelf(Load load, std::filesystem::path models_folder, std::filesystem::path hub_cache = {});
  /// As stop.
  ~ModelShelf();

  /// Puts a model on the shelf; a later one of the same name is kConflict.
  Result<void> put(ServedModelPtr model);
  Result<void> load_now(const std::filesystem::path& folder);

  /// A name is a model's own, NAME:TAG, or the end of only one (see matching_names). Calls `found` once: at
  /// once if model and adapter are loaded or the model is unknown (kNotFound with the three nearest names),
  /// else after loading, on the shelf's thread. `adapter` may be empty; the name may be MODEL+ADAPTER: two
  /// that disagree are kInvalidArgument.
  void find(const std::string& name, const std::string& adapter, Found found);

  struct Entry {
    std::string name;
    ServedModelPtr model;  // nullptr: not loaded
    std::filesystem::path folder;
  };
  /// All models, by name.
  std::vector<Entry> list() const;
  std::vector<ServedModelPtr> loaded() const;

  /// Names of the adapters of an entry's model, those that fit if it is loaded.
  static std::vector<std::string> adapters_of(const Entry& entry);

  /// The answer to one who asks for a model that is none: kNotFound with the three nearest names.
  Error unknown(const std::string& name) const;

  /// Ends the loading thread; waiters get kUnavailable. Models stay until the shelf goes.
  void stop();
  /// Lets all models go; with their last users their engines end.
  void clear();

 private:
  struct Name {
    std::string model, adapter;
    bool operator==(const Name&) const = default;
  };
  /// The model that a name means, and what stands behind the "+" if there is an adapter.
  Name part(const std::string& name) const;
  std::vector<std::string> names() const;
  void work();
  /// The model, loaded if `model` is null, and its adapter.
  Result<AskedModel> load_asked(const Name& name, ServedModelPtr model, const std::filesystem::path& folder);
  /// As load_, with what it throws as an error: this thread has no one above it.
  Result<ServedModelPtr> try_load(const std::filesystem::path& folder) const;
  std::map<std::string, std::filesystem::path> folders_on_disk() const;

  const Load load_;
  const std::filesystem::path models_folder_;
  const std::filesystem::path hub_cache_;
  mutable Mutex mutex_;
  CondVar wake_;
  std::map<std::string, ServedModelPtr, std::less<>> models_ GUARDED_BY(mutex_);
  struct Wanted {
    Name name;
    std::filesystem::path folder;
    std::vector<Found> waiters;
  };
  std::deque<Wanted> wanted_ GUARDED_BY(mutex_);  // the first is being loaded
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace mlxd
