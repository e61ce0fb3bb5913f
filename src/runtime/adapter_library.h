// The adapters of one loaded model: found by name, loaded at their first use while the model runs, kept
// within a number and an amount of memory; when room is needed the least recently used go that no request
// holds. Thread-safe; the model's engine thread must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "generation/adapter_lease.h"
#include "model/model_spec.h"
#include "runtime/adapter_places.h"
#include "runtime/engine_thread.h"

namespace mlxd {

class AdapterLibrary {
 public:
  struct Options {
    std::filesystem::path model_folder;
    const ModelSpec* spec = nullptr;  // outlives the library, as `engine`
    EngineThread* engine = nullptr;
    AdapterPlaces places;
    std::size_t most_adapters = 32;
    std::size_t most_bytes = std::size_t{1} << 30U;
    /// Called after adapters came or went, to give K/V what memory is left; an error undoes a coming.
    std::function<Result<void>()> balance_memory = {};
  };
  explicit AdapterLibrary(Options options) : options_(std::move(options)) {}

  /// The adapter, if it is loaded; else null. Quick.
  AdapterLeasePtr find_loaded(const std::string& name);
  /// Whether there is one of the name. Errors: kNotFound with the names there are.
  Result<void> check_known(const std::string& name) const;
  /// The adapter, loaded if need be: reads files and waits for the engine's step under way. Errors:
  /// kNotFound with the names there are; those of Adapter::open; kUnsupported (the backend); kOverloaded (all
  /// room is taken by adapters in use); kOutOfMemory (it alone is too large).
  Result<AdapterLeasePtr> acquire(const std::string& name);

  /// Names of the adapters that fit the model.
  std::vector<std::string> list() const;
  std::size_t num_loaded() const;

 private:
  struct Entry {
    AdapterLeasePtr lease;
    std::size_t bytes = 0;
    std::uint64_t last_used = 0;
  };

  Result<AdapterLeasePtr> load(const std::string& name);
  Result<void> make_room(const std::string& name, std::size_t bytes);
  /// The id of the least recently used that nobody holds, taken out; kNoAdapter: there is none.
  AdapterId take_idle();

  const Options options_;
  mutable Mutex mutex_;
  CondVar loaded_;
  bool is_loading_ GUARDED_BY(mutex_) = false;  // one at a time
  std::map<std::string, Entry> entries_ GUARDED_BY(mutex_);
  std::uint64_t now_ GUARDED_BY(mutex_) = 0;  // counts uses
  AdapterId next_id_ GUARDED_BY(mutex_) = kNoAdapter + 1;
};

}  // namespace mlxd
