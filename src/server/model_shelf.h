// The models that can be asked for by name, and their adapters as MODEL+ADAPTER: which folder a name means,
// and the way from it through the pool, which loads, to a model that stays while it is used. Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "runtime/model_pool.h"
#include "server/served_model.h"

namespace mlxd {

class ModelShelf {
 public:
  using Found = std::function<void(Result<AskedModel>)>;

  /// Folders beside these two whose models can be asked for (see models_in_added_folder), as they are now.
  using AddedFolders = std::function<std::vector<std::filesystem::path>()>;

  /// `models_folder`: its sub-folders with a config.json can be asked for; `hub_cache`: so can its
  /// repositories; empty: none. Of several models of a name one that was given comes first, then the models
  /// folder's, the cache's, and those of added folders in their order.
  ModelShelf(ModelPool::Options pool, std::filesystem::path models_folder,
             std::filesystem::path hub_cache = {}, AddedFolders added = {});
  /// As stop.
  ~ModelShelf();

  /// Puts a model on the shelf that is loaded already and stays; a later one of the same name is kConflict.
  Result<void> put(ServedModelPtr model);
  /// Lets a folder be asked for by its name, wherever it lies. Errors: kConflict.
  Result<ModelSource> add_folder(const std::filesystem::path& folder);
  /// Lets a model be asked for that a request names by its folder, "/…" or "/…+ADAPTER", if whoever asks
  /// administers the server; a model that can be asked for already stays as it is, and no name gets another
  /// meaning. Does nothing for other names. Errors: kForbidden, kNotFound (no model folder), kConflict (its
  /// name means another model).
  Result<void> admit_path(const std::string& name, bool administers);
  /// Folders that were given, by their models' names.
  std::map<std::string, std::filesystem::path> given() const;
  /// The added folders are others now.
  void forget_places();
  /// Called when one was given, on the giver's thread. Set before there are several threads.
  void on_given(std::function<void()> listener) { on_given_ = std::move(listener); }
  /// As add_folder, and loads it on the pool's thread while this one waits. `protect`: it is not evicted.
  Result<void> load_now(const std::filesystem::path& folder, bool protect = true);

  /// What a name means: a model's own, its folder's whole path, NAME:TAG, or the end of only one (see
  /// matching_names). Nothing if there is no such model.
  std::optional<ModelSource> resolve(const std::string& name) const;

  /// Calls `found` once: at once if model and adapter are loaded or the model is unknown (kNotFound with the
  /// three nearest names), else after loading, on the pool's or the shelf's thread. `adapter` may be empty;
  /// the name may be MODEL+ADAPTER: two that disagree are kInvalidArgument. The model stays loaded as long as
  /// what was found is held.
  void find(const std::string& name, const std::string& adapter, const ModelPool::AcquireOptions& options,
            Found found);

  struct Entry {
    std::string name;
    ServedModelPtr model;  // nullptr: not loaded
    std::filesystem::path folder;
  };
  /// All models, by name. Hold it no longer than it takes to look: a model here cannot be unloaded.
  std::vector<Entry> list() const;
  std::vector<ServedModelPtr> loaded() const;

  /// Names of the adapters of an entry's model, those that fit if it is loaded.
  static std::vector<std::string> adapters_of(const Entry& entry);

  /// The answer to one who asks for a model that is none: kNotFound with the three nearest names.
  Error unknown(const std::string& name) const;

  ModelPool& pool() { return pool_; }

  /// Ends the threads; waiters get kUnavailable. Models stay until the shelf goes.
  void stop();
  /// Lets all models go; with their last users their engines end.
  void clear();

 private:
  struct Name {
    std::string model, adapter;
  };
  /// A model that waits for its adapter.
  struct Wanted {
    ServedModelPtr model;
    std::string adapter;
    Found found;
  };

  /// Parts a name that is no model's at the "+" behind one's.
  Name part(const std::string& name) const;
  std::optional<ModelSource> resolve_own(const std::string& name) const;
  std::optional<ModelSource> resolve_path(const std::filesystem::path& path) const;
  std::optional<ModelSource> resolve_ending(const std::string& name) const;
  std::vector<std::string> names() const;
  void find_adapter(ServedModelPtr model, const std::string& adapter, bool in_name, Found found);
  void load_adapters();
  std::map<std::string, std::filesystem::path> folders_on_disk() const;

  const std::filesystem::path models_folder_;
  const std::filesystem::path hub_cache_;
  const AddedFolders added_;
  mutable Mutex mutex_;
  CondVar wake_;
  std::function<void()> on_given_;
  std::map<std::string, std::filesystem::path> given_ GUARDED_BY(mutex_);  // folders; empty: put as it is
  /// Where models were that were asked for, so that not every request reads folders.
  mutable std::map<std::string, std::filesystem::path> found_ GUARDED_BY(mutex_);
  std::deque<Wanted> wanted_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  ModelPool pool_;
  std::thread thread_;
};

}  // namespace mlxd
