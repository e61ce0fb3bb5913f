// What there is on this machine, with facts: model folders and the hub's cache, looked through by a worker of
// its own, so that who asks never waits for a disk. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "catalog/hub_cache.h"
#include "catalog/model_facts.h"

namespace mlxd {

enum class CatalogSource {
  kFolder,  // of the models folder
  kAdded,   // of a folder that was added
  kHub,     // of the hub's cache
  kPath,    // given by its path, wherever it lies
};
std::string_view to_string(CatalogSource source);  // "folder", "added", "hub", "path"

struct CatalogModel {
  std::string name;  // "NAME" or "org/name"
  CatalogSource source = CatalogSource::kFolder;
  std::filesystem::path folder;  // with config.json; empty if there is none
  ModelFacts facts = {};
  /// Why it cannot be loaded as it is, or empty.
  std::string problem = {};
  CachedRepository repository = {};  // of a model from the hub
};

class ModelCatalog {
 public:
  struct Options {
    std::vector<std::filesystem::path> model_folders;  // whose sub-folders are models
    std::filesystem::path hub_cache;                   // empty: none
    /// Folders beside these, laid out in any way that models_in_added_folder knows; asked for at each look.
    std::function<std::vector<std::filesystem::path>()> added_folders = {};
    /// Models given by their paths, name → folder; asked for at each look.
    std::function<std::map<std::string, std::filesystem::path>()> given_models = {};
    std::chrono::seconds interval{20};     // between looks; what has not changed is not read again
    std::function<void()> on_change = {};  // on the worker, after a look that found something new
  };
  explicit ModelCatalog(Options options);
  ~ModelCatalog();
  /// Ends the worker; what it found last stays.
  void stop();

  using Models = std::shared_ptr<const std::vector<CatalogModel>>;
  /// What the last look found, by name; waits only for the very first one.
  Models models() const;
  /// As `models`, but before the first look nothing.
  Models known_models() const;
  /// Looks again, soon.
  void request_scan();
  /// Looks again, but not before `age` has passed since the last look began.
  void request_scan_after(std::chrono::milliseconds age);
  /// Looks again and waits for it.
  Models scan_now();

 private:
  using Signature = std::vector<std::int64_t>;
  struct Known {
    Signature signature;
    ModelFacts facts;
    std::string problem;
  };

  void work();
  std::vector<CatalogModel> scan();
  std::vector<CatalogModel> find_in_hub_cache() const;
  void read_facts(CatalogModel& model);

  const Options options_;
  std::map<std::string, Known> known_;  // by folder; the worker's
  mutable Mutex mutex_;
  mutable CondVar wake_;
  Models models_ GUARDED_BY(mutex_);
  std::uint64_t wanted_ GUARDED_BY(mutex_) = 1;  // looks asked for
  std::uint64_t made_ GUARDED_BY(mutex_) = 0;    // the last one that has been made
  std::chrono::steady_clock::time_point begun_at_ GUARDED_BY(mutex_) = {};
  std::chrono::steady_clock::time_point due_ GUARDED_BY(mutex_) = {};  // of the next look at the latest
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

/// Why the weights in a folder are not whole: the files that model.safetensors.index.json names and that are
/// not there; or that there are none. Empty: whole.
std::string missing_weights(const std::filesystem::path& folder);

}  // namespace mlxd
